"""A physical backup, and a snapshot of the same place in the binary log, so that its rows can be compared.

At its end mariabackup holds all commits back for a moment, and notes where the binary log is. Meanwhile sessions
of ours open snapshots, again and again; one of them was opened at exactly that place, unless the moment was too short.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from django.utils import timezone

from backups.engines._mariadb_accounts import Accounts
from backups.engines._mariadb_catalog import Catalog
from backups.engines._mariadb_columns import quoted
from backups.engines._mariadb_commands import Login, Tool, option_file
from backups.engines._mariadb_connect import Connection, connect, execute, explained
from backups.engines._mariadb_witness import take_witness
from backups.engines._temporary import protected_directory
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.witness import Content, Witness
from drcenter.process import Command

# A chunk of mbstream (flags, type P, the path's length, the path, the payload's length, offset and checksum), and in
# it what `xtrabackup_binlog_info` holds; the file has another name since MariaDB 11.
PLACE = re.compile(
    rb"XBSTCK01[\x00\x01]P(?:\x16\x00\x00\x00xtrabackup|\x1a\x00\x00\x00mariadb_backup)_binlog_info"
    rb".{20}([^\t\n\x00]{1,200})\t(\d{1,20})(?:\t([0-9,-]*))?\n",
    re.DOTALL,
)
LONGEST = 1024
# How many places in the log are held at the same time, and how often a new one is asked for, in seconds.
HELD = 16
EVERY = 0.02
SYSTEM = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
COUNTS = "no transaction holds it still"
NO_TRANSACTIONS = "its engine has no transactions: it may have moved on since"
NO_LOG = Finding(
    "The server writes no binary log (log_bin is off), so that the moment of the backup cannot be named: it cannot be"
    " compared with the source, nor be the base for a point in time.",
    "Set log_bin and server_id in the server's configuration, and restart it.",
    caps=True,
)
NO_MOMENT = Finding(
    "No snapshot was opened at the very place in the binary log at which the backup ended. The backup is complete, but"
    " it cannot be proven.",
    "Take it again, at a quieter hour.",
    caps=True,
)


@dataclass(frozen=True, order=True)
class At:
    """A place in the binary log: files are numbered in rising order."""

    file: str
    position: int


class Held:
    """A session with a snapshot; `at` is where in the log it was opened, `seen` how often the log was found there."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.at, self.seen = connection, At("", 0), 0

    def open(self) -> None:
        execute(self.connection, "ROLLBACK")
        execute(self.connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        execute(self.connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        rows = execute(self.connection, "SHOW STATUS LIKE 'Binlog_snapshot_%'")
        found = {str(name).lower(): value for name, value in rows}
        self.at = At(str(found["binlog_snapshot_file"]), int(found["binlog_snapshot_position"]))
        self.seen = 1


class Watch(threading.Thread):
    """Holds snapshots of places in the log, those at which the log stood still first, until it has the wanted one."""

    def __init__(self, login: Login) -> None:
        super().__init__(name="snapshots", daemon=True)
        self._login = login
        self._over = threading.Event()
        self._held: list[Held] = []
        self._spare: Held | None = None
        self.wanted: At | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set() and not self._settled():
                self._look()
                self._over.wait(EVERY)
        except pymysql.err.Error as error:
            self.error = error

    def _settled(self) -> bool:
        """The wanted snapshot is held, or its place has gone by."""
        wanted = self.wanted
        return wanted is not None and any(one.at >= wanted for one in self._held)

    def _look(self) -> None:
        one = self._spare or self._fresh()
        self._spare = None
        one.open()
        same = next((other for other in self._held if other.at == one.at), None)
        if same is None:
            self._held.append(one)
            return
        same.seen += 1
        execute(one.connection, "ROLLBACK")
        self._spare = one

    def _fresh(self) -> Held:
        """A new session, or when there are enough, the one whose place was seen the fewest times, and longest ago."""
        if len(self._held) < HELD:
            return Held(connect(self._login))
        one = min(self._held, key=lambda held: held.seen)
        self._held.remove(one)
        return one

    def chosen(self, at: At) -> Held | None:
        """Stop; the session that was opened at `at`, the others are closed."""
        self._over.set()
        self.join()
        found = next((one for one in self._held if one.at == at), None)
        for one in (*self._held, *([self._spare] if self._spare else ())):
            if one is not found:
                one.connection.close()
        self._held, self._spare = [found] if found else [], None
        return found

    def close(self) -> None:
        self.chosen(At("", -1))


class PhysicalBackup(Snapshot):
    """Made by `opened`; its sessions end with that context."""

    def __init__(
        self, login: Login, tool: Tool, known: Mapping[str, Any], work: Path, stack: ExitStack
    ) -> None:
        self._login, self._tool, self._known, self._work, self._stack = login, tool, known, work, stack
        self._watch: Watch | None = None
        self._held: Held | None = None
        self._tail = b""
        self._place: dict[str, Any] = {}

    def parts(self) -> Iterator[PartSpec]:
        yield PartSpec(
            "base", "mbstream", (self._begin, backup_command(self._login, self._tool, self._known, self._work)),
            watch=self._look, again=True, smallest=1 << 20,
        )  # fmt: skip
        self._choose()
        yield PartSpec("about", "json", (self._about,), again=True)

    def _begin(self) -> Iterator[bytes]:
        """The part may be taken again: then its moment is another."""
        self._tail, self._place = b"", {}
        self._let_go()
        if self._known["binlog"]:
            self._watch = Watch(self._login)
            self._stack.callback(self._watch.close)
            self._watch.start()
        yield from ()

    def _let_go(self) -> None:
        if self._watch is not None:
            self._watch.close()

    def _look(self, block: bytes | bytearray) -> bool:
        text = self._tail + block
        if found := PLACE.search(text):
            self.taken_at = timezone.now()
            self._place = {"file": found[1].decode(errors="replace"), "position": int(found[2])}
            if found[3]:
                self._place["gtid"] = found[3].decode()
            if self._watch is not None:
                self._watch.wanted = At(self._place["file"], self._place["position"])
        self._tail = text[-LONGEST:]
        return False

    def _choose(self) -> None:
        """The snapshot of the place that mariabackup wrote down; its tables are held against changes from now on."""
        if self._watch is None or not self._place:
            return
        self._held = self._watch.chosen(At(self._place["file"], self._place["position"]))
        if self._watch.error is not None:
            with explained(self._login):
                raise self._watch.error
        if self._held is not None:
            with explained(self._login):
                for catalog in catalogs(self._held.connection, self._known["databases"]):
                    for table in catalog.tables:
                        execute(self._held.connection, f"SELECT 1 FROM {quoted(catalog.database)}.{quoted(table.name)} LIMIT 0")  # fmt: skip  # noqa: S608

    def _about(self) -> Iterator[bytes]:
        about = {"databases": self._known["databases"], "lower_case": self._known["lower_case_table_names"],
                 "version": self._known["version"], "position": self._place}  # fmt: skip
        yield json.dumps(about).encode()

    def witness(self) -> Witness:
        if self._held is None:
            return Witness(ignored={"everything": "no snapshot of the backup's moment could be had"})
        with explained(self._login):
            return witness_of(self._held.connection, self._known["databases"])

    @property
    def position(self) -> Mapping[str, Any]:
        """Binlog file, position and GTID of the backup's moment; empty when the server writes no binlog."""
        return self._place

    def findings(self) -> Sequence[Finding]:
        if self._held is not None:
            return []
        return [NO_MOMENT if self._known["binlog"] else NO_LOG]


@contextmanager
def opened(login: Login, tool: Tool, known: Mapping[str, Any]) -> Iterator[PhysicalBackup]:
    with ExitStack() as stack:
        work = stack.enter_context(protected_directory())
        yield PhysicalBackup(login, tool, known, work, stack)


def backup_command(login: Login, tool: Tool, known: Mapping[str, Any], work: Path) -> Command:
    """The data directory as one stream; what mariabackup writes beside it lands in `work`."""
    argv = (
        tool.name, "--defaults-file={login}", "--backup", "--stream=mbstream", f"--datadir={known['directory']}",
        f"--target-dir={work / 'target'}", f"--tmpdir={work}"
    )  # fmt: skip
    return Command(argv, files={"login": option_file(login, tool)}, directory=str(work))


def catalogs(connection: Connection, databases: Sequence[str]) -> Iterator[Catalog]:
    """Of each database in turn; the session is in it until the next is asked for."""
    for name in databases:
        with suppress(UnicodeError):
            connection.select_db(name)
        yield Catalog(connection, name)


def witness_of(connection: Connection, databases: Sequence[str]) -> Witness:
    """What these databases hold, each name with its database. Accounts are in the files, and not compared."""
    objects: dict[str, str] = {}
    contents: dict[str, Content] = {}
    ignored: dict[str, str] = {}
    for catalog in catalogs(connection, databases):
        found = take_witness(catalog, Accounts())
        why = dict(found.ignored)
        why |= {
            name: COUNTS for name in found.objects if name.startswith(("auto_increment ", "next value of"))
        }
        why |= {table.name: NO_TRANSACTIONS for table in catalog.unsafe_tables}
        objects |= {f"{catalog.database}: {name}": text for name, text in found.objects.items()}
        contents |= {f"{catalog.database}: {name}": one for name, one in found.contents.items()}
        ignored |= {f"{catalog.database}: {name}": reason for name, reason in why.items()}
    return Witness(objects, contents, ignored)
