"""Replays archived log onto a base backup: up to a place, or to the last commit of a moment.

Where to stop is worked out beforehand, from the log itself, and given to the server as the place of the last record:
a target that the log does not reach would let it wait for ever.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backups.engines import _postgresql_wal as wal
from backups.servers.postgresql import Installation, system_user
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

SECONDS = 6 * 3600
# A commit's own record, or a page; larger ones at the very end of an archive are told as a hole.
LARGEST_RECORD = 1 << 16
RECORD = re.compile(r"^rmgr: (?P<kind>\w+) .*?, lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.*? desc: (?P<what>.*)$")
TIME = re.compile(r"^COMMIT(?:_PREPARED \d+:)? (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) UTC")


@dataclass(frozen=True)
class Stop:
    """The last record that is replayed, and how many transactions the log commits up to there."""

    lsn: str
    timeline: int
    transactions: int


def add(files: Sequence[Path], data: Path) -> None:
    """Put archived files into pg_wal, as large as the server expects them. What the base has more of, stays."""
    folder, user = data / "pg_wal", system_user()
    for file in files:
        place = folder / file.name
        if wal.SEGMENT.fullmatch(file.name):
            with file.open("rb") as stream:
                head = wal.header(stream)
            if head is None or (place.exists() and _written(place) > file.stat().st_size):
                continue
            shutil.copyfile(file, place)
            with place.open("rb+") as target:
                target.truncate(head.size)
        elif wal.HISTORY.fullmatch(file.name):
            shutil.copyfile(file, place)
        place.chmod(0o600)
        if user is not None:
            shutil.chown(place, user, user)


def _written(path: Path) -> int:
    with path.open("rb") as stream:
        return wal.written(stream, path.stat().st_size)


def find(
    installation: Installation, data: Path, begin: str, stop: tuple[str, int], moment: datetime | None
) -> Stop:
    """From the place `begin` (an LSN) to the byte `stop` of a file; with `moment`, to before the first commit after it.

    Raises OperationFailed when the log does not hold the way.
    """
    folder, (log, offset) = data / "pg_wal", stop
    if not (folder / log).is_file():
        raise OperationFailed(f"The archived log has no {log}.", permanent=True)
    size = (folder / log).stat().st_size
    timeline, segment = wal.parsed(log, size)
    found = _Log(installation, folder, timeline, size)
    end = segment * size + offset
    if moment is not None:
        end = found.first_after(moment, wal.number(begin), end)
    last, count = None, 0
    for record in found.records(wal.number(begin), end):
        last = record.place
        count += record.what.startswith("COMMIT")
    if last is None:
        raise OperationFailed(
            f"The archived log has nothing between {begin} and {wal.text(end)}.", permanent=True
        )
    return Stop(wal.text(last), timeline, count)


@dataclass(frozen=True)
class _Record:
    place: int
    what: str


@dataclass(frozen=True)
class _Log:
    """The files of the log in `folder`, each of `size` bytes, as seen from `timeline`."""

    installation: Installation
    folder: Path
    timeline: int
    size: int

    def first_after(self, moment: datetime, begin: int, end: int) -> int:
        """Where the first commit stands whose time is after `moment`, or `end`. The server, too, stops at the first."""
        for record in self.records(begin, end, "Transaction"):
            found = TIME.match(record.what)
            if found and datetime.fromisoformat(found[1]).replace(tzinfo=UTC) > moment:
                return record.place
        return end

    def records(self, begin: int, end: int, kind: str = "") -> Iterator[_Record]:
        """Those that are whole before `end`. File by file: what pg_waldump prints of one fits into memory."""
        while begin < end:
            until = min(end, (begin // self.size + 1) * self.size)
            yield from self._of_file(begin, until, kind)
            begin = until

    def _of_file(self, begin: int, end: int, kind: str) -> Iterator[_Record]:
        argv = (
            str(self.installation.binaries / "pg_waldump"), f"--path={self.folder}",
            f"--timeline={self._timeline_of(begin // self.size)}", f"--start={wal.text(begin)}",
            f"--end={wal.text(end)}", *((f"--rmgr={kind}",) if kind else ()),
        )  # fmt: skip
        finished = run(Command(argv, env={"TZ": "UTC", "LC_ALL": "C"}), timeout=SECONDS, check=False)
        last = begin
        for text in finished.stdout.decode(errors="replace").splitlines():
            if found := RECORD.match(text):
                last = wal.number(found["lsn"])
                yield _Record(last, found["what"])
        # The last record of the archive may not be whole, and is none then. Anything else is a hole.
        if finished.code != 0 and end - last > LARGEST_RECORD:
            raise OperationFailed(
                f"The archived log cannot be read behind {wal.text(last)}, and goes on to {wal.text(end)}:"
                f" {finished.stderr[-300:]}",
                "Another destination may have it whole: verify the stream's segments.",
                permanent=True,
            )

    def _timeline_of(self, segment: int) -> int:
        """The newest timeline that has this file."""
        for line in range(self.timeline, 0, -1):
            if (self.folder / wal.name_of(line, segment, self.size)).exists():
                return line
        raise OperationFailed(
            f"The archived log has no {wal.name_of(self.timeline, segment, self.size)}.",
            "Bring the segments that are missing.",
            permanent=True,
        )


def require_reached(data: Path, stop: Stop) -> None:
    """Raises OperationFailed when the server, which has recovered, began its own timeline before the stop."""
    histories = sorted((data / "pg_wal").glob("*.history"))
    left = wal.switched_at(histories[-1].read_text(errors="replace"), stop.timeline) if histories else None
    if left is None or left < wal.number(stop.lsn):
        raise OperationFailed(
            f"The server replayed the log to {wal.text(left or 0)}, not to {stop.lsn}.",
            "Look at the log of the job; verify the stream's segments.",
        )
