"""MariaDB and MySQL databases, dumped with the server's own tool and proven in a private server."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from backups.engines._mariadb_accounts import for_copy, read_accounts, withheld
from backups.engines._mariadb_catalog import Catalog, names
from backups.engines._mariadb_commands import Login, Selection, restore_command
from backups.engines._mariadb_connect import (
    client_tool,
    connected,
    dump_tool,
    execute,
    login_from,
    tool_names,
)
from backups.engines._mariadb_inspect import check_may_overwrite, look
from backups.engines._mariadb_load import loader
from backups.engines._mariadb_logs import MariaDbLogs
from backups.engines._mariadb_replay import BinaryLog, login_options, write_client_file
from backups.engines._mariadb_restore import (
    count_rows,
    disable_events,
    drop_database,
    make_ready,
    statement_runner,
)
from backups.engines._mariadb_rows import opened as rows_opened
from backups.engines._mariadb_snapshot import opened
from backups.engines._mariadb_witness import take_witness
from backups.engines.base import (
    ASK_SECONDS,
    ROWS,
    Consumer,
    Door,
    Engine,
    Inspection,
    NoScratch,
    Snapshot,
    StatementLog,
)
from backups.logs.chain import Position as LogPosition
from backups.rows.session import Session
from backups.servers.mariadb import Server, Version, installed_version, parse_version, private_server
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField, SecretField

TLS_CHOICES = [
    ("off", _("not encrypted")),
    ("on", _("encrypted, certificate not checked")),
    ("verify", _("encrypted, certificate checked")),
]
# Settings of the source that a private server needs too: variable -> option.
CARRIED_SETTINGS = {
    "lower_case_table_names": "lower-case-table-names",
    "character_set_server": "character-set-server",
    "collation_server": "collation-server",
    "innodb_page_size": "innodb-page-size",
}


class Options(forms.Form):
    host = forms.CharField(label=_("Host"), initial="127.0.0.1")
    port = forms.IntegerField(label=_("Port"), initial=3306, min_value=1, max_value=65535)
    socket = forms.CharField(label=_("Socket"), required=False, initial="",
                             help_text=_("Path of the server's socket; used instead of host and port."))  # fmt: skip
    user = forms.CharField(label=_("User"), initial="")
    password = SecretField(label=_("Password"), initial="")
    database = forms.CharField(label=_("Database"), initial="")
    tables = LinesField(label=_("Tables"), initial=[],
                        help_text=_("Only these tables, one per line. Empty: the whole database."))  # fmt: skip
    critical_tables = LinesField(label=_("Critical tables"), initial=[],
                                 help_text=_("Their rows are counted after a restore."))  # fmt: skip
    tls = forms.ChoiceField(label=_("Encryption of the connection"), choices=TLS_CHOICES, initial="off")
    ca = forms.CharField(label=_("Certificate authority"), required=False, initial="",
                         help_text=_("Path of a PEM file; empty: what the system trusts."))  # fmt: skip
    hold_unsafe = forms.BooleanField(
        label=_("Let writers wait for tables without transactions"), required=False, initial=False,
        help_text=_("MyISAM and Aria tables stay locked for reading while the backup runs."),
    )  # fmt: skip


class Plugin(Engine):
    label = "MariaDB / MySQL"
    Options = Options
    by_table = True
    one_moment = True
    has_rows = True
    required_tools = ("mariadb-dump", "mariadb")

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.required_tools = tool_names()
        self._created = False
        # Events of a copy beside the original that `finish` switched off.
        self._copy = False
        # Nobody else works there, and nothing is lost when a load fails half-way.
        self._scratch = False
        self._disabled: list[str] = []
        # Of a scratch place: the option file by which somebody on this machine signs in to it.
        self._client_file = ""

    @property
    def _login(self) -> Login:
        return login_from(self.options)

    @property
    def _selection(self) -> Selection:
        return Selection(self.options["database"], tuple(self.options["tables"] or ()))

    @property
    def target(self) -> str:
        place = self.options["socket"] or f"{self.options['host']}:{self.options['port']}"
        return f"database {self.options['database']} at {place}"

    @property
    def server(self) -> str:
        return f"mariadb {self._login.place}"

    @property
    def place(self) -> str:
        return str(self.options["database"])

    @property
    def host(self) -> str:
        return "localhost" if self.options["socket"] else str(self.options["host"])

    @contextlib.contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        with connected(self._login, self.options["database"]) as connection:
            yield Catalog(connection, self.options["database"], self._selection.tables)

    def tables(self) -> list[str]:
        with connected(self._login, self.options["database"]) as connection:
            catalog = Catalog(connection, self.options["database"])
            return [*names(catalog.tables), *catalog.sequences]

    def inspect(self) -> Inspection:
        tool = dump_tool()
        with self._catalog() as catalog:
            return look(catalog, self._login, tool, hold_unsafe=bool(self.options["hold_unsafe"]))

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return opened(
            self._login, self._selection, dump_tool(), hold_unsafe=bool(self.options["hold_unsafe"])
        )

    def logs(self, token: str) -> MariaDbLogs:
        return MariaDbLogs(lambda: self._login, self.options["database"], token)

    def witness(self) -> Witness:
        with self._catalog() as catalog:
            execute(catalog.connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            execute(catalog.connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            return take_witness(catalog, read_accounts(catalog), disabled=self._disabled)

    def consumer(self, part: str, suffix: str) -> Consumer:
        if part in {"accounts", "grants"}:
            adapted = for_copy if self._copy else str
            return statement_runner(self._login, self.options["database"], adapted)
        if self._scratch and part == "database":
            return loader(client_tool(), self._login, self.options["database"])
        return restore_command(client_tool(), self._login, self.options["database"])

    @contextlib.contextmanager
    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        _check_fits(facts)
        settings = {option: str(facts[name]) for name, option in CARRIED_SETTINGS.items() if name in facts}
        with private_server(workspace, settings=settings, alone=True) as server:
            engine = self._pointed_at(server, workspace / "password")
            engine._client_file = write_client_file(workspace / "client.cnf", engine._login)
            engine.reservations = server.confinement.reservations
            try:
                yield engine
            finally:
                for name in ("password", "client.cnf"):
                    (workspace / name).unlink(missing_ok=True)

    def _pointed_at(self, server: Server, password: Path) -> "Plugin":
        """This engine with the private server's login; the password in a file, since options hold references."""
        login = Login(server.host, server.port, server.user, server.password, server.socket)
        place = self.replaced(**login_options(login, password))
        place._scratch = True
        return place

    def beside(self, name: str) -> "Plugin":
        copy = self.replaced(database=name)
        copy._copy = True
        return copy

    def check_may_overwrite(self, witness: Witness | None = None) -> None:
        check_may_overwrite(self._login, self._selection, witness.objects if witness else ())

    def prepare(self, *, overwrite: bool) -> None:
        self._created = make_ready(self._login, self._selection, overwrite=overwrite)

    def finish(self, witness: Witness | None) -> None:
        """A copy beside the original must not act: its events stay, switched off."""
        if self._copy:
            with self._catalog() as catalog:
                self._disabled = disable_events(catalog)

    def log_positions(self, position: Mapping[str, Any]) -> tuple[LogPosition, LogPosition | None] | None:
        if self._selection.tables or not position.get("file"):
            return None
        return LogPosition(str(position["file"]), int(position["position"])), None

    def access(self) -> str:
        return f"mariadb --defaults-file={self._client_file} {self.options['database']}"

    def statement_log(self) -> StatementLog | None:
        return BinaryLog(self._login, self.options["database"])

    def answer(self) -> None:
        with connected(self._login):
            return

    def withheld(self, name: str) -> str:
        return withheld(name) if self._copy else ""

    def drop(self) -> None:
        if self._created:
            drop_database(self._login, self.options["database"])

    def rows(self, *, write: bool = False) -> AbstractContextManager[Session]:
        return rows_opened(self._login, self.options["database"], write=write)

    def counts(self, names: Sequence[str]) -> dict[str, int]:
        return count_rows(self._login, self.options["database"], names)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with connected(self._login, self.options["database"]) as connection:
            execute(connection, f"SET SESSION max_statement_time = {ASK_SECONDS}")
            execute(connection, "START TRANSACTION READ ONLY")
            with connection.cursor() as cursor:
                cursor.execute(query)
                return [tuple(row) for row in cursor.fetchmany(ROWS)]

    def door(self) -> Door:
        login = self._login
        return Door("mysql", login.socket, self.options["database"], login.user, login.password)


def _check_fits(facts: Mapping[str, Any]) -> None:
    """Raises NoScratch unless the installed server is of the source's flavour and series."""
    source = parse_version(str(facts.get("version", "")))
    source = Version(str(facts.get("flavour") or source.flavour), source.number)
    try:
        installed = installed_version()
    except OperationFailed as error:
        raise NoScratch(error.message, error.hint, permanent=True) from None
    if (installed.flavour, installed.series) != (source.flavour, source.series):
        raise NoScratch(
            f"The source is {source}, but the server installed here is {installed}: a set is only proven "
            "in a server of the same flavour and series.",
            f"Install the server of {source.series} on this machine, or let another machine prove the set.",
            permanent=True,
        )
