"""Reads the binary log's format, version 4, as far as an archive has to: events, transactions, checksums (pure).

https://mariadb.com/kb/en/2-binlog-event-header/: a file is four magic bytes, then events. Each has a header of 19
bytes: time in seconds, type, server id, length with header, position of the next event modulo 2^32, flags. With
checksums each ends with the CRC-32 of all its other bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MAGIC = b"\xfebin"
HEADER = struct.Struct("<IBIIIH")
GTID = struct.Struct("<QIB")
CHECKSUM = 4
BLOCK = 4 << 20
# No event is larger than the largest packet, 1 GiB.
LARGEST_EVENT = (1 << 30) + (1 << 20)

QUERY, STOP, ROTATE, FORMAT, XID, XA_PREPARE = 2, 3, 4, 15, 16, 38
GTID_EVENT = 162
# What comes before the statement that it belongs to: INTVAR, RAND, USER_VAR, TABLE_MAP, BEGIN_LOAD_QUERY,
# APPEND_BLOCK, ANNOTATE_ROWS.
PRELUDES = frozenset({5, 13, 14, 19, 17, 9, 160})
STANDALONE = 1
ENDINGS = (b"COMMIT", b"ROLLBACK", b"XA COMMIT", b"XA ROLLBACK")


class NotABinlog(ValueError):
    """The bytes are not what a binary log can be; the message says where and why."""


@dataclass(frozen=True)
class Event:
    """One event; `offset` counts the file's bytes before it, `body` is without header and checksum."""

    offset: int
    kind: int
    server: int
    length: int
    body: bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


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
            sequence, domain, _flags = GTID.unpack_from(began.body)
            gtid = f"{domain}-{began.server}-{sequence}"
            self.first = self.first or gtid
            self.last[domain] = gtid
            self.transactions += 1


def has_checksums(file: BinaryIO) -> bool | None:
    """What the log's first event says of all others; None while too little of it has arrived."""
    file.seek(0)
    if (magic := file.read(len(MAGIC))) != MAGIC[: len(magic)]:
        raise NotABinlog("it does not begin like a binary log")
    head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    _time, kind, _server, length, _next, _flags = HEADER.unpack(head)
    if kind != FORMAT or not HEADER.size + 60 < length < 1 << 16:
        raise NotABinlog("its first event is not a description of its format")
    rest = file.read(length - HEADER.size)
    if len(rest) < length - HEADER.size:
        return None
    # The description always carries the algorithm and a checksum: 0 none, 1 CRC-32.
    algorithm = rest[-CHECKSUM - 1]
    _check(head + rest, len(MAGIC))
    if algorithm not in (0, 1):
        raise NotABinlog(f"its checksums are of the unknown kind {algorithm}")
    return algorithm == 1


def events(file: BinaryIO, begin: int, end: int, *, checksums: bool) -> Iterator[Event]:
    """The whole events between the offsets `begin` (a boundary) and `end`; one that is cut is left out.

    Raises NotABinlog for a wrong checksum, an impossible length, or a place that the server has elsewhere.
    """
    offset = max(begin, len(MAGIC))
    file.seek(offset)
    buffer, at = b"", 0
    while True:
        while (whole := _whole(buffer, at, offset)) is None:
            wanted = min(BLOCK, end - offset - (len(buffer) - at))
            block = file.read(wanted) if wanted > 0 else b""
            if not block:
                return
            buffer, at = buffer[at:] + block, 0
        event = _event(buffer[at : at + whole], offset, checksums=checksums)
        yield event
        at, offset = at + whole, event.end


def _whole(buffer: bytes, at: int, offset: int) -> int | None:
    """The length of the event at `at`, if all of it is there."""
    if len(buffer) - at < HEADER.size:
        return None
    length = int.from_bytes(buffer[at + 9 : at + 13], "little")
    if not HEADER.size <= length <= LARGEST_EVENT:
        raise NotABinlog(f"the event at {offset} has the impossible length {length}")
    return length if len(buffer) - at >= length else None


def _event(content: bytes, offset: int, *, checksums: bool) -> Event:
    _time, kind, server, length, following, _flags = HEADER.unpack_from(content)
    if following not in (0, (offset + length) & 0xFFFFFFFF):
        raise NotABinlog(f"the event at {offset} is at {(following - length) & 0xFFFFFFFF} on the server")
    checked = checksums or kind == FORMAT
    if checked:
        _check(content, offset)
    return Event(offset, kind, server, length, content[HEADER.size : -CHECKSUM if checked else None])


def _check(content: bytes, offset: int) -> None:
    if zlib.crc32(memoryview(content)[:-CHECKSUM]) != int.from_bytes(content[-CHECKSUM:], "little"):
        raise NotABinlog(f"the checksum of the event at {offset} is wrong")


def scan(file: BinaryIO, begin: int, end: int, most: int) -> Scan | None:
    """Follow the transactions from `begin`; stops behind one once `most` bytes have passed, and in the middle of one
    only when it alone is larger than that. None while the log's beginning has not arrived."""
    if (checksums := has_checksums(file)) is None:
        return None
    found = Scan(begin, begin, begin)
    group, waiting = _Group(unknown=begin > len(MAGIC)), None
    for event in events(file, begin, end, checksums=checksums):
        if event.kind == GTID_EVENT:
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
        if event.kind == GTID_EVENT:
            self._unknown, self.inside = False, True
            self._standalone = bool(event.body[GTID.size - 1] & STANDALONE)
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
    return event.kind == QUERY and _statement(event.body).startswith(ENDINGS)


def _statement(body: bytes) -> bytes:
    """The text of a QUERY event: behind 13 bytes, the status variables, and the database's name with its zero."""
    if len(body) < 13:
        return b""
    database, variables = body[8], int.from_bytes(body[11:13], "little")
    return body[13 + variables + database + 1 :]
