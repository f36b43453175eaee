"""Which place in the log a set of snapshots means (pure).

A transaction writes its commit into the log first, and is seen by others a little later. A snapshot so means a place
in the log only if everything that it sees was committed before everything that it does not see. Servers with many
writers have such moments too, again and again: those that wait for the same flush become visible together.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backups.engines._postgresql_wal import number

# pg_waldump --rmgr=Transaction; a prepared transaction is named in the text, since another session commits it.
RECORD = re.compile(
    r"^rmgr: Transaction .*?, tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F]+/[0-9A-F]+),.*? desc: COMMIT"
    r"(?:_PREPARED (?P<prepared>\d+):)?"
)
CYCLE = 1 << 32


@dataclass(frozen=True)
class Seen:
    """What pg_current_snapshot() says (`xmin:xmax:xip,xip`): which transactions a session sees."""

    limit: int
    running: frozenset[int]

    @classmethod
    def read(cls, snapshot: str) -> "Seen":
        _lowest, limit, running = snapshot.split(":")
        return cls(int(limit) % CYCLE, frozenset(int(one) % CYCLE for one in running.split(",") if one))

    def sees(self, xid: int) -> bool:
        """Of a transaction that has committed by now. Numbers go round after four thousand million."""
        return (xid - self.limit) % CYCLE >= CYCLE // 2 and xid not in self.running


@dataclass(frozen=True)
class Commit:
    """One commit in the log: where its record begins, and whose it is."""

    place: int
    xid: int


def commits(lines: Iterable[str]) -> Iterator[Commit]:
    for line in lines:
        if found := RECORD.match(line):
            yield Commit(number(found["lsn"]), int(found["prepared"] or found["xid"]))


def moment(log: Iterable[Commit], snapshots: Iterable[Seen]) -> int | None:
    """The place before whose record a recovery has to stop, so that it holds what all the snapshots see.

    None: there is none, or the log does not reach behind the snapshots. `log` begins before them.
    """
    last_seen, first_unseen = -1, None
    views = list(snapshots)
    for commit in log:
        if any(not view.sees(commit.xid) for view in views):
            first_unseen = commit.place if first_unseen is None else min(first_unseen, commit.place)
        if any(view.sees(commit.xid) for view in views):
            last_seen = max(last_seen, commit.place)
    return None if first_unseen is None or last_seen >= first_unseen else first_unseen
