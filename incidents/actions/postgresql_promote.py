"""Makes a standby of PostgreSQL the primary."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from drcenter.secrets import redact, resolve
from incidents.actions._standby import PATIENCE, StandbyOptions, refuse_two_primaries
from incidents.actions.base import Action, Context, State

# Seconds that pg_promote() may take.
PROMOTING = 120
STATE = """SELECT pg_is_in_recovery(), pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text,
    EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
    pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint"""


class PostgresqlOptions(StandbyOptions):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["port"].initial = 5432


class Plugin(Action):
    label = gettext_lazy("Fail over the database (PostgreSQL)")
    Options = PostgresqlOptions

    def describe(self) -> str:
        return f"pg_promote() @ {self.options['host']}:{self.options['port']}"

    def look(self, context: Context) -> State:
        with self._connected() as cursor:
            cursor.execute(STATE)
            standby, received, replayed, age, behind = cursor.fetchone()
        if not standby:
            raise OperationFailed(
                _("%(host)s is no standby: it takes writes already.") % {"host": self.options["host"]},
                permanent=True,
            )
        refuse_two_primaries(self.options)
        # Without a primary that writes the age grows by itself; what was received and not applied is the lag.
        if behind and age is not None and age > self.options["most_lag"]:
            raise OperationFailed(
                _("The standby is %(seconds)d s behind: %(bytes)d bytes wait to be applied.")
                % {"seconds": age, "bytes": behind},
                _("Wait, or allow a larger lag."),
            )
        return {"received": received, "replayed": replayed, "age": age, "behind": behind}

    def foretell(self, before: State) -> list[str]:
        age = _("unknown") if before["age"] is None else f"{before['age']:.0f} s"
        return [
            _("The standby becomes the primary on a timeline of its own."),
            _("Its newest transaction is %(age)s old; what the old primary committed after it is lost.")
            % {"age": age},
            _(
                "Applications go on writing to the old address until they are led here: fail over the name as well."
            ),
            _(
                "There is no way back but a new standby: the old primary must not come up as it was (pg_rewind)."
            ),
        ]

    def execute(self, context: Context, before: State) -> None:
        with self._connected() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            if not cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_promote(true, %s)", (PROMOTING,))
            if not cursor.fetchone()[0]:
                raise OperationFailed(
                    _("The standby was not promoted within %(seconds)d s.") % {"seconds": PROMOTING},
                    _("Look at its server log."),
                )

    def verify(self, context: Context, before: State) -> str:
        with self._connected() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            if cursor.fetchone()[0]:
                raise OperationFailed(_("%(host)s is a standby still.") % {"host": self.options["host"]})
            # A table that only this session sees, and that is gone with it: it is really written.
            cursor.execute("CREATE TEMPORARY TABLE drc_writable AS SELECT 1")
            cursor.execute("SELECT pg_walfile_name(pg_current_wal_lsn())")
            timeline = int(cursor.fetchone()[0][:8], 16)
        return _("%(host)s takes writes, on timeline %(timeline)s.") % {
            "host": self.options["host"],
            "timeline": timeline,
        }

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        import psycopg

        password = resolve(self.options["password"]).reveal() if self.options["password"] else None
        try:
            with psycopg.connect(
                host=self.options["host"], port=self.options["port"], user=self.options["user"], password=password,
                dbname="postgres", connect_timeout=PATIENCE, autocommit=True, application_name="drcenter",
            ) as connection, connection.cursor() as cursor:  # fmt: skip
                yield cursor
        except psycopg.Error as error:
            raise OperationFailed(
                _("The standby %(host)s: %(error)s")
                % {"host": self.options["host"], "error": redact(str(error).strip())},
                _("Besides signing in, its user needs: GRANT EXECUTE ON FUNCTION pg_promote TO the user."),
            ) from None
