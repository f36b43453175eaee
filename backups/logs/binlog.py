"""Reads MariaDB's binary log, format version 4, event by event and without its tools (pure).

https://mariadb.com/kb/en/2-binlog-event-header/: a file is four magic bytes, then events. Each has a header of 19
bytes: time in seconds, type, server id, length with header, position of the next event modulo 2^32, flags. With
checksums each ends with the CRC-32 of all its other bytes. Positions are counted here, since those in the headers
end at 4 GiB.

`checked=False` is for what was checked as it was archived: neither checksums nor positions are compared, and of the
rows themselves only the number of their table is read.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

MAGIC = b"\xfebin"
HEADER = struct.Struct("<IBIIIH")
CHECKSUM = 4
# No event is larger than the largest packet, 1 GiB.
LARGEST_EVENT = (1 << 30) + (1 << 20)

QUERY, STOP, ROTATE, FORMAT, XID, TABLE_MAP, XA_PREPARE = 2, 3, 4, 15, 16, 19, 38
ANNOTATE, GTID, ENCRYPTION, QUERY_COMPRESSED = 160, 162, 164, 165
ROWS = {
    23: "insert", 24: "update", 25: "delete", 30: "insert", 31: "update", 32: "delete",
    166: "insert", 167: "update", 168: "delete", 169: "insert", 170: "update", 171: "delete",
}  # fmt: skip
# What is read of rows without a check: six bytes of the table's number, two of flags.
ROWS_HEAD = 8

_GTID = struct.Struct("<QIB")
_QUERY = struct.Struct("<IIBHH")
# A GTID's flag for a statement that is no transaction (DDL), and has no end of its own.
_STANDALONE = 1


class NotABinlog(ValueError):
    """The bytes are not what a binary log can be; the message says where and why."""


class Event(NamedTuple):
    """One event; `offset` counts the file's bytes before it, `at` is Unix time by the server's clock, `body` is without
    header and checksum."""

    offset: int
    kind: int
    at: int
    server: int
    length: int
    body: bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class Description:
    """What the log's first event says. `created`: the Unix time at which the server opened the file, None: unsaid."""

    checksums: bool
    created: int | None
    end: int


class Gtid(NamedTuple):
    """What the event GTID says of the transaction that it begins; as a text: "0-1-42"."""

    domain: int
    server: int
    sequence: int
    standalone: bool

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.sequence}"


def description(file: BinaryIO, *, checked: bool = True) -> Description | None:
    """None while too little of it has arrived. Raises NotABinlog."""
    file.seek(0)
    if (magic := file.read(len(MAGIC))) != MAGIC[: len(magic)]:
        raise NotABinlog("it does not begin like a binary log")
    head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    at, kind, _server, length, _next, _flags = HEADER.unpack(head)
    if kind != FORMAT or not HEADER.size + 60 < length < 1 << 16:
        raise NotABinlog("its first event is not a description of its format")
    body = file.read(length - HEADER.size)
    if len(body) < length - HEADER.size:
        return None
    if checked:
        _check(head + body, len(MAGIC))
    # It always carries the algorithm and a checksum: 0 none, 1 CRC-32.
    algorithm = body[-CHECKSUM - 1]
    if algorithm not in (0, 1):
        raise NotABinlog(f"its checksums are of the unknown kind {algorithm}")
    (created,) = struct.unpack_from("<I", body, 52)
    return Description(algorithm == 1, created or at or None, len(MAGIC) + length)


def events(
    file: BinaryIO, begin: int, end: int | None, *, checksums: bool, checked: bool = True
) -> Iterator[Event]:
    """The whole events between the offsets `begin` (a boundary) and `end` (None: the file's); one that is cut is left
    out.

    Raises NotABinlog for an impossible length, and `checked` for a wrong checksum, or a place that the server has
    elsewhere.
    """
    offset = max(begin, len(MAGIC))
    file.seek(offset)
    while end is None or offset + HEADER.size <= end:
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            return
        length = int.from_bytes(head[9:13], "little")
        if not HEADER.size <= length <= LARGEST_EVENT:
            raise NotABinlog(f"the event at {offset} has the impossible length {length}")
        if end is not None and offset + length > end:
            return
        event = (_checked if checked else _unchecked)(file, head, offset, checksums)
        if event is None:
            return
        yield event
        offset = event.end


def _checked(file: BinaryIO, head: bytes, offset: int, checksums: bool) -> Event | None:
    at, kind, server, length, following, _flags = HEADER.unpack(head)
    content = head + file.read(length - HEADER.size)
    if len(content) < length:
        return None
    if following not in (0, (offset + length) & 0xFFFFFFFF):
        raise NotABinlog(f"the event at {offset} is at {(following - length) & 0xFFFFFFFF} on the server")
    # The description has a checksum also where the others have none.
    covered = checksums or kind == FORMAT
    if covered:
        _check(content, offset)
    return Event(offset, kind, at, server, length, content[HEADER.size : -CHECKSUM if covered else None])


def _unchecked(file: BinaryIO, head: bytes, offset: int, checksums: bool) -> Event | None:
    at, kind, server, length, _following, _flags = HEADER.unpack(head)
    size = length - HEADER.size
    body = file.read(ROWS_HEAD if kind in ROWS else size)
    if kind in ROWS:
        file.seek(offset + length - 1)
        return Event(offset, kind, at, server, length, body) if file.read(1) else None
    if len(body) < size:
        return None
    covered = checksums or kind == FORMAT
    return Event(offset, kind, at, server, length, body[: size - CHECKSUM] if covered else body)


def _check(content: bytes, offset: int) -> None:
    if zlib.crc32(memoryview(content)[:-CHECKSUM]) != int.from_bytes(content[-CHECKSUM:], "little"):
        raise NotABinlog(f"the checksum of the event at {offset} is wrong")


def gtid_of(event: Event) -> Gtid:
    """Of an event GTID."""
    if len(event.body) < _GTID.size:
        raise NotABinlog(f"the GTID at {event.offset} is cut short")
    sequence, domain, flags = _GTID.unpack_from(event.body)
    return Gtid(domain, event.server, sequence, standalone=bool(flags & _STANDALONE))


def statement_of(event: Event) -> tuple[bytes, bytes]:
    """The session's database and the text of an event QUERY, as it stands there: behind the status variables, and the
    database's name with its zero. Both empty for what is too short."""
    if len(event.body) < _QUERY.size:
        return b"", b""
    _thread, _seconds, database, _error, variables = _QUERY.unpack_from(event.body)
    begin = _QUERY.size + variables
    return event.body[begin : begin + database], event.body[begin + database + 1 :]
