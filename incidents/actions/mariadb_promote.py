"""Makes a replica of MariaDB the primary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.secrets import redact, resolve
from incidents.actions._standby import PATIENCE, StandbyOptions, refuse_two_primaries
from incidents.actions.base import Action, Context, State

# Seconds in which what was received has to be applied.
APPLYING = 120


class MariadbOptions(StandbyOptions):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["port"].initial = 3306


class Plugin(Action):
    label = gettext_lazy("Fail over the database (MariaDB)")
    Options = MariadbOptions

    def describe(self) -> str:
        return f"STOP SLAVE; read_only = 0 @ {self.options['host']}:{self.options['port']}"

    def look(self, context: Context) -> State:
        with self._connected() as cursor:
            replica = self._replica(cursor)
            if replica is None:
                raise OperationFailed(
                    _("%(host)s is no replica: it follows nobody.") % {"host": self.options["host"]},
                    permanent=True,
                )
            cursor.execute("SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_slave_pos")
            row = cursor.fetchone()
        refuse_two_primaries(self.options)
        lag = replica["Seconds_Behind_Master"]
        if replica["Slave_SQL_Running"] != "Yes":
            raise OperationFailed(
                _("The replica applies nothing: %(error)s")
                % {"error": replica["Last_SQL_Error"] or replica["Slave_SQL_Running"]},
                _("Cure that first: what it has not applied would be lost."),
            )
        if lag is not None and lag > self.options["most_lag"]:
            raise OperationFailed(
                _("The replica is %(seconds)d s behind.") % {"seconds": lag},
                _("Wait, or allow a larger lag."),
            )
        return {
            "primary": f"{replica['Master_Host']}:{replica['Master_Port']}", "lag": lag,
            "read_only": bool(row["@@GLOBAL.read_only"]), "gtid": row["@@GLOBAL.gtid_slave_pos"],
        }  # fmt: skip

    def foretell(self, before: State) -> list[str]:
        return [
            _("What was received is applied to its end, then the replica follows %(primary)s no longer.")
            % before,
            _("It takes writes from then on. What the old primary committed and did not send is lost."),
            _(
                "Applications go on writing to the old address until they are led here: fail over the name as well."
            ),
            _("There is no way back but a new replica: the old primary must not come up as it was."),
        ]

    def execute(self, context: Context, before: State) -> None:
        with self._connected() as cursor:
            replica = self._replica(cursor)
            if replica is not None:
                self._apply_all(cursor)
                cursor.execute("STOP SLAVE")
                cursor.execute("RESET SLAVE ALL")
            cursor.execute("SET GLOBAL read_only = 0")

    def _apply_all(self, cursor: Any) -> None:
        """Nothing more is received; what was, is applied. Raises OperationFailed when that takes too long."""
        cursor.execute("STOP SLAVE IO_THREAD")
        ends = time.monotonic() + APPLYING
        while True:
            replica = self._replica(cursor) or {}
            received = (replica.get("Master_Log_File"), replica.get("Read_Master_Log_Pos"))
            applied = (replica.get("Relay_Master_Log_File"), replica.get("Exec_Master_Log_Pos"))
            if received == applied:
                return
            if replica.get("Slave_SQL_Running") != "Yes" or time.monotonic() > ends:
                raise OperationFailed(
                    _("What was received is not applied: %(error)s")
                    % {"error": replica.get("Last_SQL_Error") or applied},
                    _(
                        "The replica receives nothing any more: START SLAVE IO_THREAD, if the old primary is to go on."
                    ),
                )
            time.sleep(0.2)

    def verify(self, context: Context, before: State) -> str:
        with self._connected() as cursor:
            cursor.execute("SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_current_pos")
            row = cursor.fetchone()
            if row["@@GLOBAL.read_only"] or self._replica(cursor) is not None:
                raise OperationFailed(
                    _("%(host)s is a replica still, or read-only.") % {"host": self.options["host"]}
                )
        return _("%(host)s takes writes, from %(gtid)s.") % {
            "host": self.options["host"], "gtid": row["@@GLOBAL.gtid_current_pos"] or _("the beginning")}  # fmt: skip

    def _replica(self, cursor: Any) -> dict[str, Any] | None:
        cursor.execute("SHOW SLAVE STATUS")
        row: dict[str, Any] | None = cursor.fetchone()
        return row

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        import pymysql
        from pymysql.cursors import DictCursor

        password = resolve(self.options["password"]).reveal() if self.options["password"] else ""
        try:
            connection = pymysql.connect(
                host=self.options["host"], port=self.options["port"], user=self.options["user"], password=password,
                connect_timeout=PATIENCE, read_timeout=APPLYING, cursorclass=DictCursor, autocommit=True,
            )  # fmt: skip
        except pymysql.Error as error:
            raise self._explained(error) from None
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        except pymysql.Error as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> OperationFailed:
        return OperationFailed(
            _("The standby %(host)s: %(error)s") % {"host": self.options["host"], "error": redact(str(error))}
        )
