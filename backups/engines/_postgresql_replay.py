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
from tempfile import TemporaryDirectory

from backups.engines import _postgresql_wal as wal
from backups.servers.postgresql import Installation, system_user
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

SECONDS = 6 * 3600
# The record that ends a base backup is no longer than this, with the head of a page in it.
BEFORE = 128
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
    installation: Installation,
    data: Path,
    begin: tuple[str, str],
    stop: tuple[str, int],
    moment: datetime | None,
) -> Stop:
    """From `begin` to the byte `stop` of a file; with `moment`, to before the first commit after it.

    `begin` are two LSNs of the base: where it is consistent, and the place of its own moment ("" or before which
    everything was committed before `moment`, whatever the clock did). Raises OperationFailed when the log does not
    hold the whole way: it is never silently shorter.
    """
    folder, (log, offset) = data / "pg_wal", stop
    if not (folder / log).is_file():
        raise OperationFailed(f"The archived log has no {log}.", permanent=True)
    size = (folder / log).stat().st_size
    timeline, segment = wal.parsed(log, size)
    consistent, own = (wal.number(one) if one else 0 for one in begin)
    last, count, end = None, 0, segment * size + offset
    with TemporaryDirectory(dir=data.parent) as view:
        known = _Log(installation, folder, Path(view), timeline, size)
        for record in known.records(consistent, end):
            if moment is not None and record.place >= own and record.is_after(moment):
                break
            last = record.place
            count += record.what.startswith("COMMIT")
    if last is None:
        raise OperationFailed(
            f"The archived log has nothing between {begin[0]} and {wal.text(end)}.", permanent=True
        )
    return Stop(wal.text(last), timeline, count)


@dataclass(frozen=True)
class _Record:
    place: int
    what: str

    def is_after(self, moment: datetime) -> bool:
        """Whether it is a commit of later than that, by the server's clock."""
        found = TIME.match(self.what)
        return bool(found and datetime.fromisoformat(found[1]).replace(tzinfo=UTC) > moment)


@dataclass(frozen=True)
class _Log:
    """The files of the log in `folder`, each of `size` bytes, as seen from `timeline`. `view` is an empty directory."""

    installation: Installation
    folder: Path
    view: Path
    timeline: int
    size: int

    def records(self, begin: int, end: int) -> Iterator[_Record]:
        """Those from `begin` on that are whole before `end`. File by file: what pg_waldump prints of one fits into memory.

        Each time from a record that is known, so that one that goes over the end of a file is not left out, and that
        nothing found is always a failure.
        """
        until = (begin - 1) // self.size * self.size
        known, last = max(until, begin - BEFORE), begin - 1
        while until < end:
            self._show(until // self.size)
            until = min(end, until + self.size)
            for record in self._between(known, until):
                known = record.place
                if record.place > last:
                    last = record.place
                    yield record

    def _show(self, segment: int) -> None:
        """That file, of the newest timeline that has it, under the name that it has on the last one: for the tool, one log."""
        for line in range(self.timeline, 0, -1):
            found = self.folder / wal.name_of(line, segment, self.size)
            if found.exists():
                (self.view / wal.name_of(self.timeline, segment, self.size)).symlink_to(found.resolve())
                return
        raise OperationFailed(
            f"The archived log has no {wal.name_of(self.timeline, segment, self.size)}.",
            "Bring the segments that are missing.",
            permanent=True,
        )

    def _between(self, begin: int, end: int) -> Iterator[_Record]:
        """Raises OperationFailed unless the tool got as far as `end`; a record that is not whole before it is none."""
        argv = (
            str(self.installation.binaries / "pg_waldump"), f"--path={self.view}", f"--timeline={self.timeline}",
            f"--start={wal.text(begin)}", f"--end={wal.text(end)}",
        )  # fmt: skip
        finished = run(Command(argv, env={"TZ": "UTC", "LC_ALL": "C"}), timeout=SECONDS, check=False)
        last = begin
        for text in finished.stdout.decode(errors="replace").splitlines():
            if found := RECORD.match(text):
                last = wal.number(found["lsn"])
                yield _Record(last, found["what"])
        if finished.code != 0:
            raise OperationFailed(
                f"The archived log cannot be read behind {wal.text(last)}, and goes on to {wal.text(end)}:"
                f" {finished.stderr[-300:]}",
                "Another destination may have it whole: verify the stream's segments.",
                permanent=True,
            )


def require_reached(data: Path, stop: Stop) -> None:
    """Raises OperationFailed when the server, which has recovered, began its own timeline before the stop."""
    histories = sorted((data / "pg_wal").glob("*.history"))
    left = wal.switched_at(histories[-1].read_text(errors="replace"), stop.timeline) if histories else None
    # It leaves the old timeline behind the last record that it replayed.
    if left is None or left <= wal.number(stop.lsn):
        raise OperationFailed(
            f"The server replayed the log to {wal.text(left or 0)}, not to {stop.lsn}.",
            "Look at the log of the job; verify the stream's segments.",
        )
