"""One moment of a MariaDB database, for the dump and for its witness, without the right to RELOAD.

One session locks the tables for reading; while it holds them, a second session opens its snapshot, and the
dump tool opens its own. The first line about a table in the dump says that it has: the lock is let go,
after some ten milliseconds. A time-out lets it go in any case, and then the dump counts as failed.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pymysql
from django.utils import timezone

from backups.engines._mariadb_accounts import Accounts, read_accounts
from backups.engines._mariadb_catalog import Catalog, Table, names
from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_commands import (
    MARKER,
    VOLATILE,
    Extent,
    Login,
    Selection,
    Tool,
    dump_command,
    triggers_command,
)
from backups.engines._mariadb_connect import Connection, connect, denied, execute, explained
from backups.engines._mariadb_floats import float_rows
from backups.engines._mariadb_witness import counters, database_options, take_witness
from backups.engines.base import PartSpec, Producer, Snapshot
from backups.witness import Witness
from drcenter.errors import OperationFailed

# How long a lock waits behind a writing transaction; meanwhile new writers wait behind the lock.
LOCK_WAIT_SECONDS = 5
LOCK_ATTEMPTS = 3
# How long the tables may be held until the dump has begun.
HOLD_SECONDS = 60
# The first line that the tool writes after its transaction and after all sequences.
BEGUN = re.compile(rb"^-- (?:Table structure for table|Temporary table structure for view|Dumping (?:events|routines) for) ", re.MULTILINE)  # fmt: skip
POSITION = re.compile(rb"MASTER_LOG_FILE='([^'\n]+)', MASTER_LOG_POS=(\d+)")
# More than the longest line that is looked for.
OVERLAP = 4096
SANDBOX = b"/*M!999999\\- enable the sandbox mode */ \n"
MOVED = "it moved while the dump was taken"
# Not every server knows each: limits that would end a long quiet session; MySQL's cached counters, and its
# hashes of passwords as text.
OPTIONAL_SETTINGS = (
    "max_statement_time=0", "idle_transaction_timeout=0", "idle_readonly_transaction_timeout=0",
    "max_execution_time=0", "information_schema_stats_expiry=0", "print_identified_with_as_hex=1",
)  # fmt: skip


class TableLock:
    """LOCK TABLES ... READ in a session of its own; `release()` is safe from any thread, and twice."""

    def __init__(self, login: Login, database: str, tables: Sequence[str]) -> None:
        self._guard = threading.Lock()
        self._connection: Connection | None = connect(login, database) if tables else None
        try:
            if self._connection is not None:
                self._acquire(self._connection, tables)
        except BaseException:
            self.release()
            raise

    def _acquire(self, connection: Connection, tables: Sequence[str]) -> None:
        execute(connection, f"SET SESSION lock_wait_timeout={LOCK_WAIT_SECONDS}")
        statement = "LOCK TABLES " + ", ".join(f"{quoted(table)} READ" for table in tables)
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                execute(connection, statement)
                return
            except pymysql.err.OperationalError as error:
                if error.args[0] != 1205 or attempt == LOCK_ATTEMPTS:
                    raise

    def release(self) -> bool:
        """Let go. True if the lock was held until now."""
        with self._guard:
            connection, self._connection = self._connection, None
        if connection is None:
            return False
        with contextlib.suppress(pymysql.err.Error):
            connection.close()
        return True


class DatabaseSnapshot(Snapshot):
    """Made by `opened()`. The moment begins when the bytes of the part `database` are first asked for;
    asked for again (the part is taken anew), it begins anew."""

    later = True

    def __init__(self, login: Login, selection: Selection, tool: Tool, *, hold_unsafe: bool) -> None:
        self._login, self._selection, self._tool = login, selection, tool
        self._hold_unsafe = hold_unsafe
        self._reader = connect(login, selection.database)
        for setting in OPTIONAL_SETTINGS:
            with contextlib.suppress(pymysql.err.Error):
                execute(self._reader, f"SET SESSION {setting}")
        self._accounts = Accounts()
        self._counters: dict[str, str] = {}
        self._nothing_to_lock = False
        self._locks: list[TableLock] = []
        self._timer: threading.Timer | None = None
        self._begun = threading.Event()
        self._tail = b""
        self._position: dict[str, Any] = {}

    def _catalog(self) -> Catalog:
        return Catalog(self._reader, self._selection.database, self._selection.tables)

    def parts(self) -> Iterator[PartSpec]:
        with explained(self._login):
            catalog = self._catalog()
            if not self._selection.tables:
                self._accounts = read_accounts(catalog)
                yield PartSpec(
                    "accounts",
                    "sql",
                    (_lines(_before_data(catalog, self._accounts)),),
                    again=True,
                )
            self.ready()
            yield self._database_part(catalog)
            self._check_moment()
            if after := list(self._accounts.after_data()):
                yield PartSpec("grants", "sql", (_lines(after),), again=True)

    def _database_part(self, catalog: Catalog) -> PartSpec:
        return PartSpec(
            "database", "sql", self._producers(catalog),
            marker=MARKER, volatile=VOLATILE, watch=self._watch, smallest=500, again=True,
        )  # fmt: skip

    def _producers(self, catalog: Catalog) -> tuple[Producer, ...]:
        position = self._tool.flavour == "mariadb" and bool(self._snapshot_position())
        history = self._tool.knows("--dump-history") and any(table.versioned for table in catalog.tables)
        floats = catalog.float_tables if self._tool.knows("--ignore-table-data") else []
        extent = Extent(position, history, not floats, self._may_see_events(), tuple(names(floats)))
        begin = self._beginning(catalog)
        if not floats:
            return begin, dump_command(self._tool, self._login, self._selection, extent)
        return (
            begin, *self._dumps(extent), self._float_rows(floats, history=history),
            triggers_command(self._tool, self._login, self._selection),
        )  # fmt: skip

    def _dumps(self, extent: Extent) -> list[Producer]:
        """The dump; of a selection first the tables with their rows, then those whose rows come another way."""
        selected = self._selection.tables
        plain = tuple(name for name in selected if name not in extent.without_rows)
        pieces = [(selected, extent)]
        if plain:
            bare = tuple(name for name in selected if name in extent.without_rows)
            pieces = [(plain, replace(extent, without_rows=())), (bare, replace(extent, position=False))]
        database = self._selection.database
        return [
            dump_command(self._tool, self._login, Selection(database, tables), part)
            for tables, part in pieces
        ]

    def _may_see_events(self) -> bool:
        try:
            execute(self._reader, "SHOW EVENTS")
        except pymysql.err.Error as error:
            if denied(error):
                return False
            raise
        return True

    def _float_rows(self, floats: Sequence[Table], *, history: bool) -> Callable[[], Iterator[bytes]]:
        def produce() -> Iterator[bytes]:
            with explained(self._login):
                yield from float_rows(self._catalog(), floats, history=history)

        return produce

    def _beginning(self, planned: Catalog) -> Callable[[], Iterator[bytes]]:
        def begin() -> Iterator[bytes]:
            with explained(self._login):
                self._hold(planned)
            yield SANDBOX

        return begin

    def _hold(self, planned: Catalog) -> None:
        """Lock, and open the reader's snapshot. Raises OperationFailed when the plan no longer fits."""
        self._let_go()
        execute(self._reader, "ROLLBACK")
        self._begun.clear()
        self._tail, self._position = b"", {}
        try:
            self._lock(planned)
            execute(self._reader, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            execute(self._reader, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            # What the dump sees, too: nobody can write before it has begun.
            self.taken_at = timezone.now()
            current = self._catalog()
            if [(one.name, one.kind) for one in current.all_tables] != [
                (one.name, one.kind) for one in planned.all_tables
            ]:
                raise OperationFailed("Tables were created or dropped as the dump began.", "Try again.")
            self._counters = counters(current)
        except BaseException:
            self._let_go()
            raise
        self._timer = threading.Timer(HOLD_SECONDS, self._release)
        self._timer.daemon = True
        self._timer.start()

    def _lock(self, planned: Catalog) -> None:
        unsafe = names(planned.unsafe_tables) if self._hold_unsafe else []
        others = [name for name in [*names(planned.tables), *planned.sequences] if name not in unsafe]
        # Sequences stand outside of transactions, and the tool writes them before it begins.
        self._nothing_to_lock = not set(others) - set(planned.sequences)
        try:
            for tables in (others, unsafe):
                self._locks.append(TableLock(self._login, self._selection.database, tables))
        except pymysql.err.Error as error:
            self._let_go()
            raise self._explained_lock(error) from None

    def _explained_lock(self, error: pymysql.err.Error) -> BaseException:
        if denied(error):
            return OperationFailed(
                f"The user {self._login.user} may not lock the tables of {self._selection.database}, so that "
                "dump and witness would not be of one moment.",
                f"GRANT SELECT, LOCK TABLES ON {quoted(self._selection.database)}.* TO this user.",
                permanent=True,
            )
        if error.args and error.args[0] == 1205:
            return OperationFailed(
                f"A transaction has been writing to the tables of {self._selection.database} for more than "
                f"{LOCK_WAIT_SECONDS * LOCK_ATTEMPTS} s, so that the dump could not begin.",
                "Try again when it has ended: SHOW PROCESSLIST shows it.",
            )
        return error

    def _watch(self, block: bytes | bytearray) -> bool:
        """Look for the place in the log and for the begin of the dump; then release the lock."""
        text = self._tail + block
        if match := POSITION.search(text):
            self._position = {"file": match[1].decode(), "position": int(match[2])}
        if BEGUN.search(text) is None:
            self._tail = text[-OVERLAP:]
            return False
        self._tail = b""
        if self._release() or self._nothing_to_lock:
            self._begun.set()
        return True

    def _release(self) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        return self._locks[0].release() if self._locks else False

    def _let_go(self) -> None:
        self._release()
        for lock in self._locks:
            lock.release()
        self._locks = []

    def _check_moment(self) -> None:
        if not self._begun.is_set() and not self._nothing_to_lock:
            raise OperationFailed(
                f"The dump had not begun {HOLD_SECONDS} s after the tables were locked, and the lock was released.",
                "Look for what holds up the dump tool or the destination, and try again.",
            )

    def _snapshot_position(self) -> dict[str, Any]:
        rows = execute(self._reader, "SHOW STATUS LIKE 'Binlog_snapshot_%'")
        found = {str(name).lower(): value for name, value in rows}
        if not found.get("binlog_snapshot_file"):
            return {}
        return {"file": found["binlog_snapshot_file"], "position": int(found["binlog_snapshot_position"])}

    def witness(self) -> Witness:
        with explained(self._login):
            found = take_witness(self._catalog(), self._accounts)
        moved = {name for name, value in self._counters.items() if found.objects.get(name) != value}
        objects = {**found.objects, **{name: self._counters[name] for name in moved}}
        return Witness(objects, found.contents, {**found.ignored, **dict.fromkeys(moved, MOVED)})

    @property
    def position(self) -> Mapping[str, Any]:
        """Binlog file and position of the dump's snapshot; empty when the server writes no binlog."""
        return self._position

    def close(self) -> None:
        self._let_go()
        with contextlib.suppress(pymysql.err.Error):
            self._reader.close()


@contextlib.contextmanager
def opened(
    login: Login, selection: Selection, tool: Tool, *, hold_unsafe: bool
) -> Iterator[DatabaseSnapshot]:
    with explained(login):
        snapshot = DatabaseSnapshot(login, selection, tool, hold_unsafe=hold_unsafe)
    try:
        yield snapshot
    finally:
        snapshot.close()


def _before_data(catalog: Catalog, accounts: Accounts) -> list[str]:
    charset, collation = database_options(catalog).split(" ")
    return [f"ALTER DATABASE CHARACTER SET {charset} COLLATE {collation}", *accounts.before_data()]


def _lines(statements: Sequence[str]) -> Callable[[], Iterator[bytes]]:
    """One statement a line."""

    def produce() -> Iterator[bytes]:
        yield "".join(f"{statement};\n" for statement in statements).encode()

    return produce
