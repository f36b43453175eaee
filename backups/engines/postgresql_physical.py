"""A whole PostgreSQL server as its own base backup: files, and the log that makes them one moment.

Restored several times faster than a dump, and the base from which archived log leads to any second. It holds every
database of the server, and needs the same version and kind of machine to be restored.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.engines import _postgresql_physical_look as looking
from backups.engines._physical import PhysicalEngine
from backups.engines._postgresql_address import Address, address_of, connected, host_of
from backups.engines._postgresql_logs import Policy, PostgresqlLogs
from backups.engines._postgresql_physical_place import PostgreSQLPlace
from backups.engines._postgresql_physical_snapshot import opened
from backups.engines.base import Consumer, Engine, Inspection, Snapshot
from backups.engines.postgresql import SSL_MODES, require_installation
from backups.logs.chain import Position as LogPosition
from backups.servers.postgresql import scratch_directory
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import SecretField


class Options(forms.Form):
    """Which server, and as whom. A URL gives everything at once; what stands beside it wins."""

    url = SecretField(
        label=_("Database URL"), help_text=_("A reference to postgresql://user:password@host/database.")
    )
    host = forms.CharField(label=_("Host"), required=False, help_text=_("Empty: the local socket."))
    port = forms.IntegerField(label=_("Port"), required=False, min_value=1, max_value=65535)
    user = forms.CharField(label=_("User"), required=False, help_text=_("With the attribute REPLICATION."))
    password = SecretField(label=_("Password"))
    database = forms.CharField(
        label=_("Database"),
        initial="postgres",
        help_text=_("The one to sign in to; all of the server are backed up."),
    )
    sslmode = forms.ChoiceField(
        label=_("SSL"),
        required=False,
        choices=[(mode, mode or _("as the client likes")) for mode in SSL_MODES],
    )
    fast = forms.BooleanField(
        label=_("Begin at once"), required=False, initial=True,
        help_text=_("With a checkpoint in one go. Otherwise it is spread over some minutes, which spares the disk."),
    )  # fmt: skip
    slot_limit = forms.IntegerField(
        label=_("Log kept for the archive, at most (GiB)"), initial=20, min_value=0, max_value=1 << 20,
        help_text=_("What the server keeps for a log stream that falls behind. Beyond it the stream lets go of the server's"
                    " log, rather than let its disk fill, and says so. 0: without end."),
    )  # fmt: skip
    synchronous = forms.BooleanField(
        label=_("Synchronous archive of the log"), required=False, initial=False,
        help_text=_("For a server whose COMMIT waits for the log stream (synchronous_standby_names): nothing that it has"
                    " acknowledged is lost while the log stream runs. COMMIT also waits while it does not."),
    )  # fmt: skip
    wait_seconds = forms.IntegerField(
        label=_("COMMIT waits at most (seconds)"), initial=120, min_value=0, max_value=86_400,
        help_text=_("For a synchronous archive that stands still. Then the server goes on without it, and everybody is told."
                    " 0: it waits without end."),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not cleaned.get("url") and not cleaned.get("user"):
            self.add_error("user", str(_("Name a user, or give a URL.")))
        return cleaned


class Plugin(PhysicalEngine[PostgreSQLPlace]):
    """A whole server of PostgreSQL 13 or newer, over the replication protocol."""

    label = _("PostgreSQL, the whole server as files")  # type: ignore[assignment]
    Options = Options
    place_type = PostgreSQLPlace
    below = "postgresql"
    required_tools = ("pg_basebackup", "pg_receivewal", "tar")

    @property
    def _address(self) -> Address:
        return address_of(self.options)

    @property
    def target(self) -> str:
        if self._place is not None:
            return f"PostgreSQL data directory {self._place.data}"
        try:
            address = self._address
        except OperationFailed:
            return f"PostgreSQL server behind {self.options.get('url') or self.options.get('password') or 'no name'}"
        return f"PostgreSQL server at {address.host}:{address.port}"

    @property
    def server(self) -> str:
        """Without the password where that can be: what is archived has to be found when it is gone, too."""
        if self.options["url"]:
            address = self._address
            return f"postgresql {address.host}:{address.port}"
        return f"postgresql {self.options['host'] or 'localhost'}:{self.options['port'] or 5432}"

    @property
    def host(self) -> str:
        return host_of(self.options)

    @property
    def for_reading(self) -> str:
        return str(_(
            "A base backup takes the place of a server's whole data directory, which is done by hand: restore it beside,"
            " then stop the server, move its data directory aside, put the restored one in its place (owner postgres,"
            " mode 0700), and start it. docs/engines/postgresql_physical.md has the commands."
        ))  # fmt: skip

    def inspect(self) -> Inspection:
        with connected(self._address) as connection:
            known = looking.facts(connection)
        looking.refuse(known, self._address)
        return Inspection(int(known["size"] or 0), known, looking.findings(known))

    def logs(self, token: str) -> PostgresqlLogs:
        limit = int(self.options["slot_limit"] or 0) << 30
        policy = Policy(limit, bool(self.options["synchronous"]), int(self.options["wait_seconds"] or 0))
        return PostgresqlLogs(self.options, token, policy)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        inspection = self.inspect()
        with opened(self._address, inspection.facts, fast=bool(self.options["fast"])) as moment:
            yield moment

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) not in (("base", "tar"), ("wal", "tar")):
            raise OperationFailed(f"A base backup of PostgreSQL has no part {part}.{suffix}.", permanent=True)
        return self.restored.unpack()

    @contextmanager
    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        require_installation(facts)
        directory = scratch_directory(workspace)
        place = self.at(directory)
        try:
            yield place
        finally:
            place.restored.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def finish(self, witness: Witness | None) -> None:
        self.restored.check()

    def replay_files(self, files: Sequence[Path], stop: LogPosition, moment: datetime | None) -> int:
        return self.restored.replay(files, (stop.log, stop.offset), moment).transactions

    def inside(self, wanted: Engine) -> Engine:
        if isinstance(wanted, Plugin):
            self.restored.start()
            return self
        database = str(wanted.place)
        return wanted.replaced(**self.restored.start().options(database))
