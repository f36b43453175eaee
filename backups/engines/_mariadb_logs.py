"""The binary log of a MariaDB server, received as a replica would receive it."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from backups.engines import _mariadb_log_findings as findings
from backups.engines._log_source import Broken, Cut, DamagedLog, LogSource, Received
from backups.engines._mariadb_binlog import Scan, scan
from backups.engines._mariadb_commands import Login, Tool, option_file
from backups.engines._mariadb_connect import Connection, connected, execute, explained
from backups.engines.base import Finding
from backups.logs.binlog import NotABinlog
from backups.logs.chain import Mark, Position, Segment
from drcenter.errors import OperationFailed
from drcenter.process import Command

TOOL = "mariadb-binlog"
LOG = re.compile(r"(.+)\.(\d{6,})")
# A server that does not answer so small a question for this long is lost; in seconds.
ANSWER_SECONDS = 15
# Ids of replicas that people give are small.
LOWEST_ID = 1 << 31


class MariaDbLogs(LogSource):
    """Needs REPLICATION SLAVE and BINLOG MONITOR (before 10.5: REPLICATION CLIENT)."""

    def __init__(self, login: Callable[[], Login], database: str, token: str) -> None:
        # Asked for when it is needed: to read an archive on the worst day, nobody has the password of a dead server.
        self._login_of, self._database = login, database
        digest = hashlib.sha256(token.encode()).digest()
        # A server ends the connection of a replica when another one comes with the same id.
        self._replica = LOWEST_ID + int.from_bytes(digest[:4], "big") % (LOWEST_ID - 1)

    @cached_property
    def _login(self) -> Login:
        return self._login_of()

    def preflight(self) -> list[Finding]:
        with connected(self._login) as connection:
            return findings.look(connection, self._database)

    def identity(self) -> str:
        with connected(self._login) as connection:
            ((server,),) = execute(connection, "SELECT @@server_id")
        return f"server{server}"

    def first(self, wanted: Position | None, *, oldest: bool) -> str:
        logs = dict(self._logs())
        if wanted is not None and wanted.offset <= logs.get(wanted.log, -1):
            return wanted.log
        return list(logs)[0 if oldest else -1]

    def _logs(self) -> list[tuple[str, int]]:
        """Name and bytes of every log file that the server still has, oldest first."""
        with connected(self._login) as connection:
            rows = execute(connection, "SHOW BINARY LOGS")
        if not rows:
            raise OperationFailed(f"The server at {self._login.place} has no binary log.", permanent=True)
        return [(str(row[0]), int(row[1])) for row in rows]

    def resume(self, last: Segment) -> str:
        sizes = dict(self._logs())
        if last.log in sizes:
            if sizes[last.log] < last.end:
                raise Broken(
                    f"{last.log} has {sizes[last.log]} bytes on the server, and {last.end} of it are stored: the log was"
                    " reset, or the server has lost the end of it."
                )
            return last.log
        following = next_name(last.log)
        if last.final and following in sizes:
            return following
        raise Broken(
            f"The server has no {last.log if not last.final else following} any more: it was purged."
        )

    def command(self, directory: Path, log: str) -> Command:
        # Only the flavour counts for the option file.
        login = option_file(self._login, Tool(TOOL, "mariadb", ""))
        argv = (
            TOOL, "--defaults-file={login}", "--read-from-remote-server", "--raw", "--stop-never",
            f"--stop-never-slave-server-id={self._replica}", f"--result-file={directory}/", "--", log,
        )  # fmt: skip
        return Command(argv, files={"login": login})

    def received(self, directory: Path) -> Sequence[Received]:
        found = [(path.stat().st_size, path) for path in directory.iterdir() if LOG.fullmatch(path.name)]
        found.sort(key=lambda one: number_of(one[1].name))
        # A file is opened when the one before it is complete.
        return [
            Received(path.name, path, size, final=at < len(found) - 1)
            for at, (size, path) in enumerate(found)
        ]

    def cut(self, file: Received, begin: int, most: int) -> Cut | None:
        try:
            with file.path.open("rb") as stream:
                found = scan(stream, begin, file.size, most)
        except NotABinlog as error:
            raise DamagedLog(
                f"{file.log} is damaged: {error}.",
                "It is fetched again. If that does not help, look at the server's disk: mariadb-binlog"
                " --verify-binlog-checksum on the server reads the same file.",
            ) from None
        if found is None:
            return None
        end = found.group_end if found.group_end > begin else found.event_end
        if end == begin or (end > found.group_end and end - begin < most):
            return None
        return Cut(end, _bounds(found))

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], Mark]]:
        with connected(self._login, read_timeout=ANSWER_SECONDS) as connection:
            yield lambda: self._mark(connection)

    def _mark(self, connection: Connection) -> Mark:
        """The position is that of the last commit; it needs no right, and no snapshot is open here."""
        with explained(self._login):
            before = _clock(connection)
            found = dict(execute(connection, "SHOW STATUS LIKE 'Binlog_snapshot_%'"))
            after = _clock(connection)
        log = str(found.get("Binlog_snapshot_file", ""))
        if not log:
            raise OperationFailed(f"The server at {self._login.place} writes no binary log.", permanent=True)
        return Mark(before, Position(log, int(found["Binlog_snapshot_position"])), after)


def _bounds(found: Scan) -> dict[str, str]:
    """The first GTID, the last one of each domain, and how many transactions there are."""
    if not found.transactions:
        return {}
    last = ",".join(found.last[domain] for domain in sorted(found.last))
    return {"gtid_first": found.first, "gtid_last": last, "transactions": str(found.transactions)}


def _clock(connection: Connection) -> datetime:
    ((now,),) = execute(connection, "SELECT UTC_TIMESTAMP(6)")
    return now.replace(tzinfo=UTC)  # type: ignore[no-any-return]


def number_of(log: str) -> int:
    match = LOG.fullmatch(log)
    return int(match[2]) if match else 0


def next_name(log: str) -> str:
    """The name of the log file after `log`: the number in it counts on, and grows beyond six digits."""
    match = LOG.fullmatch(log)
    return f"{match[1]}.{int(match[2]) + 1:0{len(match[2])}}" if match else ""
