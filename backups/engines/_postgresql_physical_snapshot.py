"""A base backup, and a moment soon after its end at which its rows can be compared.

A data directory that is copied while it is written to is brought to the state of one place in its log. So that the
comparison is exact, not roughly of that time, the log is received a little further, up to behind snapshots that are
opened in each database; where in the log they are, is worked out from its commits (_postgresql_moment).
"""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from django.utils import timezone

from backups.engines import _postgresql_moment as moments
from backups.engines import _postgresql_wal as wal
from backups.engines._postgresql_address import Address, Connection, connected, explained
from backups.engines._postgresql_commands import find_client
from backups.engines._postgresql_contents import sequence_values
from backups.engines._postgresql_rights import Scope, look
from backups.engines._postgresql_snapshot import lock_tables, witness_of
from backups.engines._temporary import protected_directory
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.servers.postgresql import find_installation
from backups.witness import Content, Witness
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

# What pg_basebackup writes first, and what its manifest says at its end.
LABEL = re.compile(
    rb"START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\).*?START TIMELINE: (\d+)", re.DOTALL
)
RANGE = re.compile(
    rb'"Timeline": (\d+), "Start-LSN": "([0-9A-F]+/[0-9A-F]+)", "End-LSN": "([0-9A-F]+/[0-9A-F]+)"'
)
LONGEST = 512
ATTEMPTS = 25
# A file in the part `wal`: what a place needs to know that it is restored into.
ABOUT = "drcenter.json"
RECEIVE_SECONDS = 600
AHEAD = "after a recovery a sequence may be up to 32 values ahead: the server logs them so"
UNLOGGED = "it is UNLOGGED: a recovery empties it"
UNREADABLE = "the backup's user may not read it; it is in the base backup"
NO_MOMENT = Finding(
    "No moment was found at which the rows can be compared: transactions kept becoming visible in another order than"
    " the log has them. The base backup is complete, but it cannot be proven.",
    "Take it at a quieter hour, or use the engine PostgreSQL for sets that are to be proven.",
    caps=True,
)


class View:
    """One session in one database: its tables are held against changes, and a snapshot is open."""

    def __init__(self, connection: Connection, database: str) -> None:
        self._connection, self.database = connection, database
        self._scope = Scope((), 0)
        self._values: dict[str, tuple[int, bool]] = {}
        self.seen = moments.Seen(0, frozenset())

    def prepare(self) -> None:
        """Hold the tables against changes, in place of the last time."""
        connection = self._connection
        connection.execute("ROLLBACK")
        self._scope = look(connection, (), ())
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        lock_tables(
            connection, [one for one in self._scope.of_kind("rp") if one.readable and one.extension is None]
        )

    def open(self) -> None:
        """The snapshot, with nothing else in between."""
        row = self._connection.execute("SELECT pg_current_snapshot()::text").fetchone()
        self.seen = moments.Seen.read(str(row[0]) if row else "0:0:")

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.execute("ROLLBACK")

    @property
    def has_tables(self) -> bool:
        return any(self._scope.of_kind("rpm"))

    def witness(self) -> Witness:
        """What this database holds; every name begins with its own."""
        self._scope = look(self._connection, (), ())
        self._values = sequence_values(self._connection, self._scope)
        return of_recovered(
            self.database, self._scope, witness_of(self._connection, self._scope, (), self._values)
        )


def of_recovered(database: str, scope: Scope, found: Witness) -> Witness:
    """`found` as far as a recovered server holds the same, each name with its database."""
    ignored = {
        name: why
        for name, why in found.ignored.items()
        if not name.startswith(("extension version", "subscription"))
    }
    ignored |= {name: AHEAD for name in found.objects if name.startswith("sequence value ")}
    ignored |= {name: UNREADABLE for name in ignored if "may not read" in ignored[name]}
    ignored |= {one.label: UNREADABLE for one in scope.unreadable}
    ignored |= {one.label: UNLOGGED for one in scope.relations if one.persistence == "u"}
    return Witness(
        {f"{database}: {name}": text for name, text in found.objects.items()},
        {f"{database}: {name}": content for name, content in found.contents.items()},
        {f"{database}: {name}": why for name, why in ignored.items()},
    )


def joined(witnesses: Sequence[Witness]) -> Witness:
    objects: dict[str, str] = {}
    contents: dict[str, Content] = {}
    ignored: dict[str, str] = {}
    for one in witnesses:
        objects |= one.objects
        contents |= one.contents
        ignored |= one.ignored
    return Witness(objects, contents, ignored)


class BaseBackup(Snapshot):
    """Made by `opened`; its sessions and its slot end with that context."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        address: Address,
        known: Mapping[str, Any],
        *,
        fast: bool,
        session: Connection,
        views: Sequence[View],
        work: Path,
    ) -> None:
        self._address, self._known, self._fast = address, known, fast
        self._session, self._views, self._work = session, views, work
        self._tail = b""
        self._place: dict[str, Any] = {}
        self._moment: int | None = None

    def parts(self) -> Iterator[PartSpec]:
        yield PartSpec(
            "base", "tar", (self._begin, base_command(self._address, self._known["major"], fast=self._fast)),
            watch=self._watch, again=True, smallest=1 << 20,
        )  # fmt: skip
        if "stop" not in self._place:
            raise OperationFailed(
                "The base backup does not say where in the log it ends.",
                "Look whether something between the server and here changes what it sends.",
            )
        yield PartSpec("wal", "tar", (self._gather, tar_command(self._work)), again=True)

    def _begin(self) -> Iterator[bytes]:
        """The part may be taken again: then it tells of itself anew."""
        self._tail, self._place = b"", {"system_identifier": self._known["system_identifier"]}
        return iter(())

    def _watch(self, block: bytes | bytearray) -> bool:
        text = self._tail + block
        if "start" not in self._place and (found := LABEL.search(text[: 1 << 16])):
            self._place |= {"start": found[1].decode(), "timeline": int(found[3])}
        if b'"WAL-Ranges"' in text and (found := RANGE.search(text, text.index(b'"WAL-Ranges"'))):
            self._place |= {"timeline": int(found[1]), "start": found[2].decode(), "stop": found[3].decode()}
            return True
        self._tail = text[-LONGEST:]
        return False

    def _gather(self) -> Iterator[bytes]:
        """The log from the end of the base backup to behind a moment that all databases show."""
        with self._understood():
            self._place["time"] = self._value("SELECT clock_timestamp()").isoformat()
            log = Log(self._address, self._known, self._work / "pg_wal", self._place)
            for attempt in range(ATTEMPTS):
                self._open()
                self.taken_at = timezone.now()
                end = self._mark()
                found = log.until(end)
                self._moment = (
                    None
                    if found is None
                    else moments.moment(found, [one.seen for one in self._views if one.has_tables])
                )
                if found is None or self._moment is not None:
                    break
                time.sleep(0.01 * attempt)
            log.close()
        self._place["end"] = end
        if self._moment is not None:
            self._place["lsn"] = wal.text(self._moment)
        # What an archive of the log knows the place by: up to there the set holds the log itself.
        size = int(self._known["settings"]["wal_segment_size"])
        self._place["file"], self._place["position"] = wal.place_in(
            self._place["timeline"], self._place.get("lsn") or end, size
        )
        about = {name: self._known[name] for name in ("superuser", "databases", "settings")}
        (self._work / ABOUT).write_text(json.dumps(about | {"position": self._place}))
        yield from ()

    def _open(self) -> None:
        """A snapshot in each database, all of them at once as nearly as can be."""
        for view in self._views:
            view.prepare()
        with ThreadPoolExecutor(max_workers=len(self._views)) as pool:
            list(pool.map(View.open, self._views))

    def _mark(self) -> str:
        """A commit of our own behind the snapshots, so that the log reaches behind them, and is flushed. Its end."""
        self._session.execute("SET synchronous_commit = local")
        self._session.execute("SELECT pg_logical_emit_message(true, 'drcenter', 'moment')")
        return str(self._value("SELECT pg_current_wal_flush_lsn()"))

    def _value(self, query: str) -> Any:
        row = self._session.execute(query.encode()).fetchone()
        return row[0] if row else None

    def witness(self) -> Witness:
        with self._understood():
            return joined([view.witness() for view in self._views])

    @property
    def position(self) -> Mapping[str, Any]:
        """`system_identifier`, `timeline`; the LSNs `start` and `stop` of the base backup (from `stop` on it is
        consistent), `lsn` of the moment of the witness (before this record), `end` of the log in the set, and `time`,
        at which the base backup had ended; `file` and `position` are where `lsn` is in the files of the log."""
        return self._place

    def findings(self) -> Sequence[Finding]:
        if self._moment is not None:
            return []
        return [NO_MOMENT if pg_waldump(self._known["major"]) else no_tool(self._known["major"])]

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise explained(error, self._address) from None


@contextmanager
def opened(address: Address, known: Mapping[str, Any], *, fast: bool) -> Iterator[BaseBackup]:
    """Reserve the log from now on, by a slot that ends with this session, and wait to be asked for the parts."""
    with ExitStack() as stack:
        work = stack.enter_context(protected_directory())
        (work / "pg_wal").mkdir(mode=0o700)
        session = stack.enter_context(connected(address))
        session.execute(
            "SELECT pg_create_physical_replication_slot(%s, true, true)",
            (f"drcenter_{secrets.token_hex(6)}",),
        )
        views = [
            View(stack.enter_context(connected(address.named(name))), name) for name in known["databases"]
        ]
        try:
            yield BaseBackup(address, known, fast=fast, session=session, views=views, work=work)
        finally:
            for view in views:
                view.close()


def base_command(address: Address, major: int, *, fast: bool) -> Command:
    """The whole data directory as one tar, with the log that it needs and a manifest of its own at the end."""
    argv = (
        find_client("pg_basebackup", major), "--pgdata=-", "--format=tar", "--wal-method=fetch", "--no-password",
        f"--checkpoint={'fast' if fast else 'spread'}", "--manifest-checksums=CRC32C", "--label=drcenter",
    )  # fmt: skip
    return Command(argv, env=address.environment, files=address.files)


def receive_command(address: Address, major: int, folder: Path, end: str) -> Command:
    """Up to `end`. pg_receivewal stops when it has more than --endpos: on a quiet server that would take long."""
    before = wal.text(wal.number(end) - 1)
    argv = (
        find_client("pg_receivewal", major), f"--directory={folder}", f"--endpos={before}", "--no-loop", "--no-password",
        "--no-sync",
    )  # fmt: skip
    return Command(argv, env=address.environment, files=address.files)


def tar_command(work: Path) -> Command:
    argv = ("tar", "--create", "--file=-", f"--directory={work}", "--sort=name", ABOUT, "pg_wal")
    return Command(argv, env={"LC_ALL": "C"})


class Log:
    """The log behind the base backup, received into `folder` further and further."""

    def __init__(
        self, address: Address, known: Mapping[str, Any], folder: Path, place: Mapping[str, Any]
    ) -> None:
        self._address, self._major, self._folder = address, known["major"], folder
        self._timeline = place["timeline"]
        size = int(known["settings"]["wal_segment_size"])
        self._first = ((wal.number(place["stop"]) - 1) // size + 1) * size
        for leftover in folder.iterdir():
            leftover.unlink()
        # pg_receivewal goes on behind the last whole file that it finds: it gets an empty one, in the place of the
        # last that the base backup has.
        self._before = folder / wal.name_of(self._timeline, self._first // size - 1, size)
        with self._before.open("wb") as file:
            file.truncate(size)
        self._growing: list[Path] = []

    def until(self, end: str) -> list[moments.Commit] | None:
        """Receive up to `end`; the commits so far. None where the tool that reads the log is not installed."""
        # What was not complete is received anew, from its beginning.
        for path in self._growing:
            path.rename(f"{path}.partial")
        run(receive_command(self._address, self._major, self._folder, end), timeout=RECEIVE_SECONDS)
        self._growing = [path.rename(path.with_suffix("")) for path in self._folder.glob("*.partial")]
        tool = pg_waldump(self._major)
        if tool is None:
            return None
        argv = (
            tool, f"--path={self._folder}", f"--start={wal.text(self._first)}", f"--end={end}",
            "--rmgr=Transaction", f"--timeline={self._timeline}",
        )  # fmt: skip
        text = run(Command(argv), timeout=RECEIVE_SECONDS).stdout.decode(errors="replace")
        return list(moments.commits(text.splitlines()))

    def close(self) -> None:
        self._before.unlink()


def pg_waldump(major: int) -> str | None:
    """The tool of this version that shows what is in the log; it comes with the server."""
    with suppress(OperationFailed):
        tool = find_installation(major).binaries / "pg_waldump"
        return str(tool) if tool.exists() else None
    return None


def no_tool(major: int) -> Finding:
    return Finding(
        f"pg_waldump of PostgreSQL {major} is not installed here, so no moment was found at which the rows can be"
        " compared. The base backup is complete, but it cannot be proven.",
        f"Install it: apt-get install postgresql-{major} (the server need not run).",
        caps=True,
    )
