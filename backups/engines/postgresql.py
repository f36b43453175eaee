"""PostgreSQL: pg_dump at an exported snapshot, roles and settings beside it, a witness of the same moment."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from backups.engines._postgresql_address import Address, address_of, connected, host_of
from backups.engines._postgresql_clear import (
    LOCK_TIMEOUT,
    clear_statement,
    create_database,
    drop_database,
    ensure_empty,
    require_creation,
    require_ownership,
    require_unlocked,
)
from backups.engines._postgresql_commands import check_client, load_command, newest_client
from backups.engines._postgresql_contents import count_rows
from backups.engines._postgresql_globals import AFTER_COPY, BEFORE_COPY, ROLES_STAY
from backups.engines._postgresql_restrict import check_restricts
from backups.engines._postgresql_rights import Scope, facts, look, notes, rights_findings
from backups.engines._postgresql_rows import opened as rows_opened
from backups.engines._postgresql_snapshot import current_witness, opened
from backups.engines._postgresql_tables import Chosen, discard, keys_again, listed, require
from backups.engines._postgresql_tables import clear_statement as clear_tables
from backups.engines.base import ASK_SECONDS, ROWS, Consumer, Door, Engine, Inspection, NoScratch, Snapshot
from backups.rows.session import Session
from backups.servers.postgresql import Installation, Server, find_installation, private_server
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField, SecretField

SSL_MODES = ("", "disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class Options(forms.Form):
    """Which database. A URL gives everything at once; what stands beside it wins."""

    url = SecretField(
        label=_("Database URL"),
        help_text=_("A reference to postgresql://user:password@host/database, as managed services give it."),
    )
    host = forms.CharField(label=_("Host"), required=False, help_text=_("Empty: the local socket."))
    port = forms.IntegerField(label=_("Port"), required=False, min_value=1, max_value=65535)
    database = forms.CharField(label=_("Database"), required=False)
    user = forms.CharField(label=_("User"), required=False)
    password = SecretField(label=_("Password"))
    sslmode = forms.ChoiceField(
        label=_("SSL"),
        required=False,
        choices=[(mode, mode or _("as the client likes")) for mode in SSL_MODES],
    )
    schemas = LinesField(
        label=_("Only these schemas"), help_text=_("One per line. Empty: the whole database.")
    )
    exclude_tables = LinesField(
        label=_("Tables without rows"),
        help_text=_("One per line (schema.table): the empty table is kept, its rows are left out."),
    )
    tables = LinesField(
        label=_("Tables"), help_text=_("Only these tables, one per line. Empty: the whole database.")
    )
    critical_tables = LinesField(
        label=_("Critical tables"), help_text=_("One per line: their rows are counted after a restore.")
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not cleaned.get("url") and not cleaned.get("database"):
            self.add_error("database", str(_("Name a database, or give a URL.")))
        return cleaned


class Plugin(Engine):
    """One database of a PostgreSQL server, version 12 or newer, managed services included."""

    label = "PostgreSQL"
    Options = Options
    one_moment = True
    by_table = True
    has_rows = True
    required_tools = ("pg_dump", "psql")

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        # What `prepare` did here: `drop` removes only what it made, the load clears only if it was asked to.
        self._made = False
        self._clear = False
        self._copy = False

    @property
    def _address(self) -> Address:
        return address_of(self.options)

    @property
    def _schemas(self) -> list[str]:
        return list(self.options.get("schemas") or [])

    @property
    def _only(self) -> list[str]:
        return list(self.options.get("tables") or [])

    @property
    def _excluded(self) -> list[str]:
        return list(self.options.get("exclude_tables") or [])

    @property
    def target(self) -> str:
        try:
            address = self._address
        except OperationFailed:
            return f"database behind {self.options.get('url') or self.options.get('password') or 'no name'}"
        return f"database {address.database} at {address.host}:{address.port}"

    @property
    def server(self) -> str:
        address = self._address
        return f"postgresql {address.host}:{address.port}"

    @property
    def place(self) -> str:
        return self._address.database

    @property
    def host(self) -> str:
        return host_of(self.options)

    def tables(self) -> list[str]:
        with connected(self._address) as connection:
            return listed(connection)

    def inspect(self) -> Inspection:
        with connected(self._address) as connection:
            known = facts(connection)
            known["client"] = check_client(known["major"])
            scope = look(connection, self._schemas, self._excluded)
            if self._only:
                require(connection, self._only)
                chosen = Chosen(connection, self._only)
                scope = scope.only(chosen.labels)
                found = [*rights_findings(scope, known["user"]), *chosen.findings()]
                return Inspection(_size(scope, known, whole=False), known, found)
            findings = [*rights_findings(scope, known["user"]), *notes(connection, scope, self._schemas)]
        return Inspection(_size(scope, known, whole=not self._schemas), known, findings)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return opened(self._address, self._schemas, self._excluded, self._only)

    def witness(self) -> Witness:
        return current_witness(self._address, self._schemas, self._excluded, self._only)

    def consumer(self, part: str, suffix: str) -> Consumer:
        """psql. After `prepare(overwrite=True)` the same transaction clears the database and loads it."""
        if (part, suffix) not in (("globals", "sql"), ("frame", "sql"), ("database", "sql")):
            raise OperationFailed(f"A PostgreSQL set has no part {part}.{suffix}.", permanent=True)
        if self._clear and self._only and part != "database":
            return discard  # What the tables stand on is there.
        psql = newest_client("psql")
        check_restricts(psql)
        if part == "globals" and self._copy:
            return load_command(psql, self._address, single=True, first=BEFORE_COPY, last=AFTER_COPY)
        if part == "globals":
            return load_command(psql, self._address, single=False)
        if self._clear and self._only and part == "database":
            first = clear_tables(self._only, LOCK_TIMEOUT)
            return load_command(psql, self._address, single=True, first=first, last=keys_again())
        first = clear_statement(self._schemas) if self._clear else ""
        return load_command(psql, self._address, single=True, first=first)

    @contextmanager
    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        installation = require_installation(facts)
        with private_server(major=installation.major, parent=workspace, alone=True) as server:
            _check_confined(server)
            _offers(server, facts)
            names = ("encoding", "collate", "ctype", "locale_provider", "icu_locale")
            like = {name: facts.get(name) for name in names} | {"fallback": True}
            place = self.replaced(**server.options("restored"), like=like)
            place.reservations = server.confinement.reservations
            yield place

    def beside(self, name: str) -> "Plugin":
        copy = self.replaced(database=name, like={"database": self._address.database})
        copy._copy = True
        return copy

    def withheld(self, name: str) -> str:
        return ROLES_STAY if self._copy and name.startswith("role ") else ""

    def check_may_overwrite(self, witness: Witness | None = None) -> None:
        """A database that is gone is owned by nobody; making it is asked for by `prepare`."""
        try:
            with connected(self._address):
                pass
        except OperationFailed:
            # Gone, or out of reach: a server may say it in any language, and the next steps find out.
            return
        require_ownership(self._address, self._schemas, self._only)
        objects = witness.objects if witness else {}
        require_creation(self._address, self._schemas, self._only, objects)

    def prepare(self, *, overwrite: bool) -> None:
        """Make the database if it is missing.

        With `overwrite` nothing is lost yet: the load itself clears, in its own transaction, so that a load
        that fails leaves everything as it was. It takes the space of both for that long.
        """
        address = self._address
        self._clear = False
        try:
            with connected(address):
                pass
        except OperationFailed:
            # A server may say in any language that there is no such database: the list of them knows.
            if not create_database(address, self.options.get("like") or {}):
                raise
            self._made = True
            return
        if overwrite:
            require_unlocked(address, self._schemas, self._only)
            self._clear = True
            return
        with connected(address) as connection:
            ensure_empty(connection, address, self._schemas)

    def answer(self) -> None:
        with connected(self._address):
            return

    def drop(self) -> None:
        if self._made:
            drop_database(self._address)
            self._made = False

    def rows(self, *, write: bool = False) -> AbstractContextManager[Session]:
        return rows_opened(self._address, write=write)

    def counts(self, names: Sequence[str]) -> dict[str, int]:
        with connected(self._address) as connection:
            return count_rows(connection, names)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with connected(self._address) as connection:
            connection.execute(f"SET statement_timeout = '{ASK_SECONDS}s'")
            # As an application sees it; a witness needs the empty one.
            connection.execute('SET search_path = "$user", public')
            with connection.transaction():
                connection.execute("SET TRANSACTION READ ONLY")
                cursor = connection.execute(query.encode())
                return cursor.fetchmany(ROWS) if cursor.description else []

    def door(self) -> Door:
        address = self._address
        path = f"{address.parameters.get('host', '')}/.s.PGSQL.{address.port}"
        return Door("pgsql", path, address.database, address.user, address.password)


def _size(scope: Scope, known: Mapping[str, Any], *, whole: bool) -> int:
    rows = sum(one.size for one in scope.of_kind("r") if not scope.excluded(one))
    return rows + (int(known["large_objects_size"]) if whole else 0)


def require_installation(facts: Mapping[str, Any]) -> Installation:
    """The server's programs for what a source told of itself. Raises NoScratch where they are not installed."""
    try:
        return find_installation(int(facts["major"]))
    except OperationFailed as failure:
        raise NoScratch(failure.message, failure.hint, permanent=True) from None


def _check_confined(server: Server) -> None:
    """Raises NoScratch where what a dump holds could run programs as the worker's own user.

    The dump is loaded as a superuser: nobody else can make all that it holds. A superuser may run programs.
    """
    if server.confinement.files or os.geteuid() == 0 or settings.PROVE_AS_SELF:
        return
    raise NoScratch(
        "A dump can hold functions that run programs, and this kernel has no Landlock to forbid it: they would run"
        " as the worker's own user, who holds the signing key.",
        "Use Linux 5.13 or newer with Landlock (cat /sys/kernel/security/lsm), or let another machine prove the"
        " set; or trust whoever owns tables in the source, and set DRC_PROVE_AS_SELF=True.",
        permanent=True,
    )


def _offers(server: Server, facts: Mapping[str, Any]) -> None:
    """Raises NoScratch that names the extensions which this machine lacks."""
    with server.connect() as connection:
        offered = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions")}
    missing = sorted(set(facts.get("extensions") or {}) - offered)
    if missing:
        raise NoScratch(
            f"The extensions {', '.join(missing)} are not installed on this machine.",
            f"Install their packages for PostgreSQL {server.major} (postgresql-{server.major}-...).",
            permanent=True,
        )
