"""The log of a PostgreSQL server (WAL), received as a standby would receive it: pg_receivewal, and a slot.

The slot is ours to move: the server keeps its log until it is at the destinations, not until it is on this machine's
disk, which is all that pg_receivewal could acknowledge.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from backups.engines import _postgresql_log_findings as findings
from backups.engines import _postgresql_wal as wal
from backups.engines._log_source import Broken, Cut, DamagedLog, LogSource, Received
from backups.engines._postgresql_address import (
    Address,
    Connection,
    address_of,
    connected,
    explained,
    replicating,
)
from backups.engines._postgresql_commands import find_client
from backups.engines.base import Finding
from backups.logs.chain import Mark, Position, Segment
from drcenter.errors import OperationFailed
from drcenter.process import Command

SERVER = """
SELECT current_setting('server_version_num')::int / 10000,
    (SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'), (SELECT system_identifier FROM pg_control_system())
"""
# In this order: what is committed before the first is before the place, what is before the place was before the last.
# Only a receiver counts that began after this session: the server may still hold the connection of one that died.
MARK = """
SELECT clock_timestamp(), pg_current_wal_flush_lsn()::text, pg_walfile_name(pg_current_wal_flush_lsn()),
    (SELECT max(write_lsn)::text FROM pg_stat_replication WHERE application_name = %(name)s AND backend_start >
        (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())),
    (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = %(name)s),
    clock_timestamp()
"""
# Who is waited for, and whether this archive is connected.
WAITS = """
SELECT current_setting('synchronous_standby_names'),
    EXISTS (SELECT FROM pg_stat_replication WHERE application_name = %(name)s AND state = 'streaming')
"""
SLOT = "SELECT restart_lsn::text, wal_status, active FROM pg_replication_slots WHERE slot_name = %s"


@dataclass(frozen=True)
class Policy:
    """`slot_bytes`: so much of its log the server keeps for the archive, then the slot is given up; 0: without end.

    `synchronous`: each message is flushed here, and reported at once, for a server that waits for it.
    `wait_seconds`: so long its COMMITs wait for an archive that stands still, then it goes on without; 0: without end.
    """

    slot_bytes: int = 0
    synchronous: bool = False
    wait_seconds: int = 0


@dataclass(frozen=True)
class Known:
    major: int
    size: int
    system: int


class PostgresqlLogs(LogSource):
    """Needs the attribute REPLICATION."""

    def __init__(self, options: Mapping[str, Any], token: str, policy: Policy) -> None:
        self._options, self._policy = options, policy
        # The slot's name, and what synchronous_standby_names has to say.
        self.name = f"drcenter_{hashlib.sha256(token.encode()).hexdigest()[:12]}"
        self._server: Known | None = None
        # Where pg_receivewal begins; files before are not asked for. Histories that are archived already are left out.
        self._begin = ""
        self._old_histories: set[str] = set()
        self._reported = 0
        self._empty = ""

    @cached_property
    def _address(self) -> Address:
        """Found out when the server is asked: what is archived is read without it, and without its password."""
        return address_of(self._options)

    # ------------------------------------------------------------------ before a connection

    def preflight(self) -> list[Finding]:
        with connected(self._address) as connection:
            return findings.look(connection, self._address, self.name, self._policy)

    def prepare(self) -> None:
        """The slot, which keeps the log at the server from now on. One that was given up begins anew."""
        with connected(self._address) as connection:
            slot = self._slot(connection)
            if slot is not None and (slot[0] is None or slot[1] == "lost"):
                connection.execute("SELECT pg_drop_replication_slot(%s)", (self.name,))
                slot = None
            if slot is None:
                connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (self.name,))

    def release(self) -> None:
        with connected(self._address) as connection:
            if self._slot(connection) is not None:
                connection.execute("SELECT pg_drop_replication_slot(%s)", (self.name,))

    def _slot(self, connection: Connection) -> tuple[Any, ...] | None:
        return connection.execute(SLOT.encode(), (self.name,)).fetchone()

    def identity(self) -> str:
        """A failover goes on in the same life of the log: its timelines hang together."""
        return f"pg{self._known().system}"

    def _known(self) -> Known:
        if self._server is None:
            with connected(self._address) as connection:
                row = connection.execute(SERVER.encode()).fetchone()
            assert row is not None  # noqa: S101 - a query without a table has a row
            self._server = Known(*(int(one) for one in row))
        return self._server

    def first(self, wanted: Position | None, *, oldest: bool) -> str:
        with connected(self._address) as connection:
            slot = self._slot(connection)
        timeline, _current = self._timeline()
        if slot is None or slot[0] is None:
            raise OperationFailed(f"The replication slot {self.name} has gone.", "It is made again.")
        name, size = "", self._known().size
        if wanted is not None and wal.SEGMENT.fullmatch(wanted.log) and self._has(wanted.log):
            name = wanted.log
        self._begin = name or wal.name_of(timeline, wal.number(slot[0]) // size, size)
        return self._with_history(self._begin)

    def _with_history(self, log: str) -> str:
        """The log file to begin with: on a later timeline, its history stands before it."""
        self._old_histories.clear()
        timeline = int(log[:8], 16)
        return log if timeline == 1 else f"{timeline:08X}.history"

    def resume(self, last: Segment) -> str:
        if wal.HISTORY.fullmatch(last.log):
            return self.first(None, oldest=True)
        timeline, flushed = self._timeline()
        size = self._known().size
        its_timeline, segment = wal.parsed(last.log, size)
        end = segment * size + last.end
        if timeline < its_timeline:
            raise Broken(
                f"The server is on timeline {timeline}, and the archive on {its_timeline}: another one answers."
            )
        if timeline == its_timeline and flushed < end:
            raise Broken(
                f"The server's log ends at {wal.text(flushed)}, and the archive has it to {wal.text(end)}: the server has"
                " lost the end of it."
            )
        following = segment + 1 if last.end == size else segment
        if timeline != its_timeline:
            self._follow(timeline, its_timeline, end)
            self._begin = wal.name_of(timeline, following, size)
            log = self._with_history(self._begin)
        else:
            log = self._begin = wal.name_of(timeline, following, size)
            self._old_histories.add(f"{timeline:08X}.history")
        if not self._has(self._begin):
            raise Broken(
                f"The server has no {self._begin} any more: its slot was given up, or dropped by somebody."
            )
        return log

    def _timeline(self) -> tuple[int, int]:
        with replicating(self._address) as link:
            row = link.execute("IDENTIFY_SYSTEM").fetchone()
        assert row is not None  # noqa: S101
        return int(row[1]), wal.number(_plain(row[2]))

    def _follow(self, timeline: int, before: int, end: int) -> None:
        """After a failover. Raises Broken where the archive has what the new timeline does not."""
        with replicating(self._address) as link:
            row = link.execute(f"TIMELINE_HISTORY {timeline}".encode()).fetchone()
        left = wal.switched_at(_plain(row[1]) if row else "", before)
        if left is None or left < end:
            raise Broken(
                f"Another server took over on timeline {timeline}, from {wal.text(left or 0)} on, and the archive has the"
                f" old one to {wal.text(end)}: what was committed there in between is not on the new one."
            )

    def _has(self, log: str) -> bool:
        """Whether the server still has that file: its slot says so, or its list of files."""
        size = self._known().size
        _timeline, segment = wal.parsed(log, size)
        with connected(self._address) as connection:
            slot = self._slot(connection)
            if slot is not None and slot[0] is not None and wal.number(slot[0]) // size <= segment:
                return True
            try:
                found = connection.execute(
                    "SELECT count(*) FROM pg_ls_waldir() WHERE name = %s", (log,)
                ).fetchone()
            except psycopg.errors.InsufficientPrivilege:
                return False
            return bool(found and found[0])

    # ------------------------------------------------------------------ a connection

    def command(self, directory: Path, log: str) -> Command:
        """pg_receivewal goes on behind the last whole file that it finds: it gets an empty one, that before the first."""
        known = self._known()
        timeline, segment = wal.parsed(self._begin, known.size)
        self._empty, self._reported = wal.name_of(timeline, segment - 1, known.size), 0
        with (directory / self._empty).open("wb") as file:
            file.truncate(known.size)
        how = ("--synchronous",) if self._policy.synchronous else ("--no-sync",)
        argv = (
            find_client("pg_receivewal", known.major), f"--directory={directory}", "--no-loop", "--no-password",
            "--status-interval=1", *how,
        )  # fmt: skip
        environment = self._address.environment | {"PGAPPNAME": self.name}
        return Command(argv, env=environment, files=self._address.files)

    def received(self, directory: Path) -> Sequence[Received]:
        names = {
            path.name.removesuffix(wal.PARTIAL): path for path in directory.iterdir() if _is_log(path.name)
        }
        names.pop(self._empty, None)
        order = sorted((name for name in names if name not in self._old_histories), key=wal.order)
        return [_file(name, names[name], self._reported, last=name == order[-1]) for name in order]

    def cut(self, file: Received, begin: int, most: int) -> Cut | None:
        end = min(file.size, begin + most)
        if end <= begin:
            return None
        if wal.SEGMENT.fullmatch(file.log):
            try:
                with file.path.open("rb") as stream:
                    wal.check(stream, file.log, begin, end)
            except wal.NotTheLog as error:
                raise DamagedLog(f"{file.log} is damaged: {error}.", "It is fetched again.") from None
        return Cut(end)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], Mark]]:
        with connected(self._address) as connection:
            connection.execute("SET statement_timeout = '15s'")
            yield lambda: self._mark(connection)

    def _mark(self, connection: Connection) -> Mark:
        try:
            row = connection.execute(MARK.encode(), {"name": self.name}).fetchone()
        except psycopg.Error as error:
            raise explained(error, self._address) from None
        assert row is not None  # noqa: S101
        before, lsn, log, reported, kept, after = row
        self._reported = max(self._reported, wal.number(reported) if reported else 0)
        self._give_up(connection, kept)
        size = self._known().size
        timeline, _segment = wal.parsed(log, size)
        return Mark(before, Position(*wal.place_in(timeline, lsn, size)), after)

    def stored(self, position: Position) -> None:
        """The server may let go of what is at the destinations."""
        size = self._known().size
        if not wal.SEGMENT.fullmatch(position.log):
            return
        _timeline, segment = wal.parsed(position.log, size)
        place = wal.text(segment * size + position.offset)
        with connected(self._address) as connection:
            connection.execute(
                "SELECT pg_replication_slot_advance(slot_name, least(%(to)s::pg_lsn, pg_current_wal_flush_lsn()))"
                " FROM pg_replication_slots WHERE slot_name = %(name)s AND NOT active AND restart_lsn < %(to)s::pg_lsn",
                {"to": place, "name": self.name},
            )

    def unwell(self) -> None:
        """Nothing is received: look at least whether the server's disk fills up for us."""
        with connected(self._address) as connection:
            row = connection.execute(MARK.encode(), {"name": self.name}).fetchone()
            self._give_up(connection, row[4] if row else None)

    def let_go(self, seconds: float) -> str:
        """Only where nobody but this archive is waited for, and it is not there."""
        if not self._policy.synchronous or not 0 < self._policy.wait_seconds <= seconds:
            return ""
        with connected(self._address) as connection:
            row = connection.execute(WAITS.encode(), {"name": self.name}).fetchone()
            if row is None or not row[0] or row[1] or not findings.alone(str(row[0]), self.name):
                return ""
            try:
                # Neither waits for a standby: they are no transactions that write.
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
                connection.execute("SELECT pg_reload_conf()")
            except psycopg.errors.InsufficientPrivilege:
                raise OperationFailed(
                    "Every COMMIT of the server waits for the archive, which stands still, and its user may not let them go"
                    " on.", f"ALTER SYSTEM SET synchronous_standby_names = ''; SELECT pg_reload_conf(); {findings.GRANT}",
                    permanent=True,
                ) from None  # fmt: skip
        return (
            f"The archive stood still for {seconds:.0f} s, and every COMMIT waited for it: the server goes on without"
            " (synchronous_standby_names is empty now). What it acknowledges from now on is lost with it, until the"
            f" archive runs and somebody sets it again: ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({self.name})';"
            " SELECT pg_reload_conf();"
        )

    def _give_up(self, connection: Connection, kept: int | None) -> None:
        """By the policy of the source: rather a gap in the archive than a server with a full disk. Never silently."""
        if not kept or not self._policy.slot_bytes or kept <= self._policy.slot_bytes:
            return
        connection.execute("SELECT pg_drop_replication_slot(%s)", (self.name,))
        raise OperationFailed(
            f"The server had kept {kept / 2**30:.1f} GiB of its log for the archive, more than the"
            f" {self._policy.slot_bytes / 2**30:.1f} GiB that the source allows: its slot was given up, so that the"
            " server's disk does not fill. If the server removes what is not archived yet, there is a gap.",
            "Look why the archive falls behind: its destinations, and the disk of the state directory.",
        )


def _plain(value: str | bytes) -> str:
    """The driver takes what comes over the replication protocol for bytes."""
    return value if isinstance(value, str) else bytes(value).decode(errors="replace")


def _is_log(name: str) -> bool:
    return bool(wal.SEGMENT.fullmatch(name.removesuffix(wal.PARTIAL)) or wal.HISTORY.fullmatch(name))


def _file(name: str, path: Path, reported: int, *, last: bool) -> Received:
    """One file as far as it has arrived. A growing one is read under a name of ours: its own changes at its end."""
    steady = path.with_name(f"{name}.growing")
    if not path.name.endswith(wal.PARTIAL):
        steady.unlink(missing_ok=True)
        return Received(name, path, path.stat().st_size, final=True)
    if not steady.exists():
        os.link(path, steady)
    size = steady.stat().st_size
    with steady.open("rb") as stream:
        found = wal.written(stream, size)
    _timeline, segment = wal.parsed(name, size)
    # What the server knows to be here may end with zeros.
    return Received(name, steady, max(found, min(size, max(0, reported - segment * size))), final=not last)
