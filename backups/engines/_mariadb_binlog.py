"""Where an archive may cut a binary log: between transactions, which are told by their first and last events (pure)."""

from dataclasses import dataclass, field
from typing import BinaryIO

from backups.logs.binlog import (
    FORMAT,
    GTID,
    MAGIC,
    QUERY,
    ROTATE,
    STOP,
    XA_PREPARE,
    XID,
    Event,
    description,
    events,
    gtid_of,
    statement_of,
)

# What comes before the statement that it belongs to: INTVAR, RAND, USER_VAR, TABLE_MAP, BEGIN_LOAD_QUERY,
# APPEND_BLOCK, ANNOTATE_ROWS.
PRELUDES = frozenset({5, 13, 14, 19, 17, 9, 160})
ENDINGS = (b"COMMIT", b"ROLLBACK", b"XA COMMIT", b"XA ROLLBACK")


@dataclass
class Scan:
    """What was found from `begin` on: `group_end` is behind the last whole transaction, `event_end` behind the last
    whole event. GTIDs are texts like "0-1-42"; `last` has one for each domain."""

    begin: int
    event_end: int
    group_end: int
    first: str = ""
    last: dict[int, str] = field(default_factory=dict)
    transactions: int = 0

    def settle(self, began: Event | None) -> None:
        """What was read so far belongs to it, with the transaction that began with that event."""
        self.group_end = self.event_end
        if began is not None:
            gtid = gtid_of(began)
            self.first = self.first or str(gtid)
            self.last[gtid.domain] = str(gtid)
            self.transactions += 1


def scan(file: BinaryIO, begin: int, end: int, most: int) -> Scan | None:
    """Follow the transactions from `begin`; stops behind one once `most` bytes have passed, and in the middle of one
    only when it alone is larger than that. None while the log's beginning has not arrived."""
    if (described := description(file)) is None:
        return None
    found = Scan(begin, begin, begin)
    group, waiting = _Group(unknown=begin > len(MAGIC)), None
    for event in events(file, begin, end, checksums=described.checksums):
        if event.kind == GTID:
            waiting = event
        group.follow(event)
        found.event_end = event.end
        if not group.inside:
            found.settle(waiting)
            waiting = None
        if found.event_end - begin >= most:
            break
    if found.group_end == begin and found.event_end - begin >= most:
        found.settle(waiting)
    return found


class _Group:
    """Whether the events so far leave a transaction open (`inside`). `unknown`: one may be open at the start."""

    def __init__(self, *, unknown: bool) -> None:
        self._unknown, self.inside, self._standalone = unknown, False, False

    def follow(self, event: Event) -> None:
        if event.kind == GTID:
            self._unknown, self.inside = False, True
            self._standalone = gtid_of(event).standalone
        elif self._unknown:
            # The rest of a transaction that was cut: nothing says where it ends but what ends one.
            self.inside = not _ends(event) and event.kind not in _CONTROL
            self._unknown = self.inside
        elif self.inside:
            self.inside = event.kind in PRELUDES if self._standalone else not _ends(event)


# Never inside a transaction: STOP, ROTATE, FORMAT, checkpoint, list of GTIDs, start of encryption.
_CONTROL = frozenset({STOP, ROTATE, FORMAT, 161, 163, 164})


def _ends(event: Event) -> bool:
    """Whether it ends a transaction that is no single statement."""
    if event.kind in (XID, XA_PREPARE):
        return True
    return event.kind == QUERY and statement_of(event)[1].startswith(ENDINGS)
