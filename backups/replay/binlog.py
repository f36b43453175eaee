"""Walks a binary log of MariaDB (pure): where each transaction begins and ends, what it is called, which tables it
writes, and the text of its statements. The rows themselves are skipped.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from backups.logs.binlog import (
    ANNOTATE,
    ENCRYPTION,
    GTID,
    QUERY,
    QUERY_COMPRESSED,
    ROWS,
    TABLE_MAP,
    XA_PREPARE,
    XID,
    Event,
    NotABinlog,
    description,
    events,
    gtid_of,
    statement_of,
)
from drcenter.errors import OperationFailed

ENDS = (b"COMMIT", b"ROLLBACK", b"XA COMMIT", b"XA ROLLBACK", b"XA END")
# Longest text of a statement that is kept.
TEXT = 4000


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


class Walk:
    """The transactions of one file. `upto`: where the file is taken to end (None: at its end).

    After the walk `reached` is the end of the last whole transaction, `created` the Unix time at which the server
    opened the file, or None where it does not say.
    """

    def __init__(self, stream: BinaryIO, begin: int = 4, upto: int | None = None) -> None:
        self._stream, self._begin, self._upto = stream, begin, upto
        self._tables: dict[int, tuple[str, str]] = {}
        self.created: int | None = None
        self.reached = begin

    def groups(self) -> Iterator[Group]:
        """Every transaction that lies wholly before the end. Raises Unreadable for what is no binary log."""
        try:
            yield from self._groups()
        except NotABinlog as error:
            raise Unreadable(f"The binary log cannot be read: {error}.", permanent=True) from None

    def _groups(self) -> Iterator[Group]:
        group: Group | None = None
        for event in self._events():
            if event.kind == GTID:
                gtid = gtid_of(event)
                group = Group(event.offset, event.end, event.at, str(gtid), standalone=gtid.standalone)
                continue
            if group is None:
                continue
            self._take(group, event)
            group.end = event.end
            if group.complete:
                self.reached = group.end
                yield group
                group = None

    def _events(self) -> Iterator[Event]:
        described = description(self._stream, checked=False)
        if described is None:
            raise NotABinlog("its beginning is missing")
        self.created = described.created
        begin = max(described.end, self._begin)
        for event in events(self._stream, begin, self._upto, checksums=described.checksums, checked=False):
            if event.kind == ENCRYPTION:
                raise NotABinlog("it is encrypted by the server")
            yield event

    def _take(self, group: Group, event: Event) -> None:
        if event.kind in {QUERY, QUERY_COMPRESSED}:
            self._query(group, event)
        elif event.kind == ANNOTATE:
            text = event.body.decode(errors="replace")[:TEXT]
            group.statements.append(Statement(text, "", event.offset, event.end, rows=True))
        elif event.kind == TABLE_MAP:
            self._table(event)
        elif event.kind in ROWS:
            where = self._tables.get(int.from_bytes(event.body[:6], "little"), ("", ""))
            change = (*where, ROWS[event.kind])
            if change not in group.changes:
                group.changes.append(change)
        elif event.kind in {XID, XA_PREPARE}:
            group.complete = True

    def _query(self, group: Group, event: Event) -> None:
        name, text = statement_of(event)
        database = name.decode(errors="replace")
        if event.kind == QUERY_COMPRESSED:
            text = _inflated(text)
        if group.standalone:
            group.complete = True
        elif text.upper().startswith(ENDS):
            group.complete = True
            return
        if text.upper() not in {b"BEGIN", b"START TRANSACTION"}:
            shown = text[:TEXT].decode(errors="replace")
            group.statements.append(Statement(shown, database, event.offset, event.end))

    def _table(self, event: Event) -> None:
        body = event.body
        size = body[8]
        database = body[9 : 9 + size]
        rest = body[10 + size :]
        table = rest[1 : 1 + rest[0]]
        number = int.from_bytes(body[:6], "little")
        self._tables[number] = (database.decode(errors="replace"), table.decode(errors="replace"))


def _inflated(packed: bytes) -> bytes:
    skip = 1 + (packed[0] & 7) if packed else 0
    try:
        return zlib.decompressobj().decompress(packed[skip:], 1 << 20)
    except zlib.error:
        raise Unreadable("A compressed statement of the log cannot be read.", permanent=True) from None
