"""Walks a binary log of MariaDB from event to event, without its tools (pure): where each transaction begins and
ends, what it is called, which tables it writes, and the text of its statements.

Only headers and the small events are read; the rows themselves are skipped. The layout: MariaDB's knowledge base,
"Replication Protocol / Binlog Event". Positions are counted here, since those in the headers end at 4 GiB.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from drcenter.errors import OperationFailed

MAGIC = b"\xfebin"
HEADER = struct.Struct("<IBIIIH")
QUERY, ROTATE, FORMAT, XID, TABLE_MAP, XA_PREPARE = 2, 4, 15, 16, 19, 38
ANNOTATE, GTID, ENCRYPTION, QUERY_COMPRESSED = 160, 162, 164, 165
ROWS = {
    23: "insert", 24: "update", 25: "delete", 30: "insert", 31: "update", 32: "delete",
    166: "insert", 167: "update", 168: "delete", 169: "insert", 170: "update", 171: "delete",
}  # fmt: skip
# Of GTID events: a statement that is no transaction (DDL), and has no end of its own.
STANDALONE = 1
ENDS = (b"COMMIT", b"ROLLBACK", b"XA COMMIT", b"XA ROLLBACK", b"XA END")
# Longest text of a statement that is kept.
TEXT = 4000
LARGEST_EVENT = 1 << 30


class Unreadable(OperationFailed):
    """These bytes are no binary log, or end in the middle of an event."""


@dataclass(frozen=True)
class Statement:
    """`text` as it was sent; `database` is the one that the session used, "" for none; `rows`: the text of a
    statement whose rows follow, so that it is not run itself."""

    text: str
    database: str
    begin: int
    end: int
    rows: bool = False


@dataclass
class Group:
    """One transaction, or one statement that stands alone, in the order of commit. `at` (Unix time) is when its
    statement began, by the server's clock: not when it was committed, and not monotonic."""

    begin: int
    end: int
    at: int
    gtid: str
    standalone: bool = False
    complete: bool = False
    statements: list[Statement] = field(default_factory=list)
    # (database, table, "insert" | "update" | "delete"), each once.
    changes: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Event:
    kind: int
    at: int
    server: int
    begin: int
    end: int
    body: bytes


class Walk:
    """The transactions of one file. `upto`: where the file is taken to end (None: at its end).

    After the walk `reached` is the end of the last whole transaction, `created` the Unix time at which the server
    opened the file, or None where it does not say.
    """

    def __init__(self, stream: BinaryIO, begin: int = 4, upto: int | None = None) -> None:
        self._stream, self._begin, self._upto = stream, begin, upto
        self._checksum = 0
        self._tables: dict[int, tuple[str, str]] = {}
        self.created: int | None = None
        self.reached = begin

    def groups(self) -> Iterator[Group]:
        """Every transaction that lies wholly before the end. Raises Unreadable for what is no binary log."""
        group: Group | None = None
        for event in self._events():
            if event.kind == GTID:
                group = self._opened(event)
                continue
            if group is None:
                continue
            self._take(group, event)
            group.end = event.end
            if group.complete:
                self.reached = group.end
                yield group
                group = None

    def _opened(self, event: _Event) -> Group:
        number, domain, flags = struct.unpack_from("<QIB", event.body)
        gtid = f"{domain}-{event.server}-{number}"
        return Group(event.begin, event.end, event.at, gtid, standalone=bool(flags & STANDALONE))

    def _take(self, group: Group, event: _Event) -> None:
        if event.kind in {QUERY, QUERY_COMPRESSED}:
            self._query(group, event)
        elif event.kind == ANNOTATE:
            text = event.body.decode(errors="replace")[:TEXT]
            group.statements.append(Statement(text, "", event.begin, event.end, rows=True))
        elif event.kind == TABLE_MAP:
            self._table(event)
        elif event.kind in ROWS:
            where = self._tables.get(int.from_bytes(event.body[:6], "little"), ("", ""))
            change = (*where, ROWS[event.kind])
            if change not in group.changes:
                group.changes.append(change)
        elif event.kind in {XID, XA_PREPARE}:
            group.complete = True

    def _query(self, group: Group, event: _Event) -> None:
        database, text = _statement(event)
        if group.standalone:
            group.complete = True
        elif text.upper().startswith(ENDS):
            group.complete = True
            return
        if text.upper() not in {b"BEGIN", b"START TRANSACTION"}:
            shown = text[:TEXT].decode(errors="replace")
            group.statements.append(Statement(shown, database, event.begin, event.end))

    def _table(self, event: _Event) -> None:
        body = event.body
        size = body[8]
        database = body[9 : 9 + size]
        rest = body[10 + size :]
        table = rest[1 : 1 + rest[0]]
        number = int.from_bytes(body[:6], "little")
        self._tables[number] = (database.decode(errors="replace"), table.decode(errors="replace"))

    # ------------------------------------------------------------------ bytes

    def _events(self) -> Iterator[_Event]:
        self._stream.seek(0)
        if self._stream.read(4) != MAGIC:
            raise Unreadable("This is no binary log: its first bytes are others.", permanent=True)
        position = 4
        while (event := self._event(position)) is not None:
            if event.kind == FORMAT:
                self._format(event)
                position = max(event.end, self._begin)
                continue
            position = event.end
            yield event

    def _event(self, position: int) -> _Event | None:
        """The event at `position`; None at the end, and for one that is not there as a whole."""
        self._stream.seek(position)
        head = self._stream.read(HEADER.size)
        if len(head) < HEADER.size:
            return None
        at, kind, server, size, _next, _flags = HEADER.unpack(head)
        if size < HEADER.size or size > LARGEST_EVENT:
            raise Unreadable(f"At byte {position} no event of a binary log begins.", permanent=True)
        end = position + size
        if self._upto is not None and end > self._upto:
            return None
        body = self._stream.read(8 if kind in ROWS else size - HEADER.size)
        if kind in ROWS:
            self._stream.seek(end - 1)
            whole = len(self._stream.read(1)) == 1
        else:
            whole = len(body) == size - HEADER.size
        if not whole:
            return None
        if kind == ENCRYPTION:
            raise Unreadable("This binary log is encrypted by the server.", permanent=True)
        trimmed = body if kind in ROWS or kind == FORMAT else body[: len(body) - self._checksum]
        return _Event(kind, at, server, position, end, trimmed)

    def _format(self, event: _Event) -> None:
        """The first event says how the others are checked: the last five bytes are algorithm and checksum."""
        self._checksum = 4 if len(event.body) > 5 and event.body[-5] == 1 else 0
        created = int(struct.unpack_from("<I", event.body, 52)[0])
        self.created = created or event.at or None


def _statement(event: _Event) -> tuple[str, bytes]:
    """The session's database and the statement of a query event."""
    _thread, _seconds, length, _error, variables = struct.unpack_from("<IIBHH", event.body)
    begin = 13 + variables
    database = event.body[begin : begin + length].decode(errors="replace")
    text = event.body[begin + length + 1 :]
    return database, _inflated(text) if event.kind == QUERY_COMPRESSED else text


def _inflated(packed: bytes) -> bytes:
    skip = 1 + (packed[0] & 7) if packed else 0
    try:
        return zlib.decompressobj().decompress(packed[skip:], 1 << 20)
    except zlib.error:
        raise Unreadable("A compressed statement of the log cannot be read.", permanent=True) from None
