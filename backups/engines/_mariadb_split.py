"""Cuts a plain SQL dump while it is read: what one session runs in order, and rows that several may insert (pure).

Rows are given apart only where it makes no difference in which order they come: of InnoDB tables with a primary key,
without generated columns and history. Everything else stays in the text, as it is. In the lines of rows every line
break of the data is escaped (mariadb-dump), so that `);` at a line's end ends a statement.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

CREATE = re.compile(rb"CREATE TABLE `((?:[^`]|``)+)` \(\n")
LAST_LINE = re.compile(rb"\) ENGINE=InnoDB[ ;]")
LOCK = re.compile(rb"LOCK TABLES `((?:[^`]|``)+)` WRITE;\n")
DELIMITER, PLAIN_DELIMITER = b"DELIMITER ", b"DELIMITER ;\n"
INSERT, UNLOCK, END_OF_STATEMENT = b"INSERT INTO `", b"UNLOCK TABLES;\n", b");\n"
# A longer statement or line is not waited for: it goes through the one session.
LARGEST = 8 << 20
# Where the order of rows, or the session, counts; a comment that says so does no harm.
NOT_APART = (
    b"SYSTEM VERSIONING",
    b"GENERATED ALWAYS",
    b"PERIOD FOR",
    b"PARTITION BY",
    b"NEXTVAL",
    b"nextval",
)
KEY, KEPT_KEYS = b"  KEY `", (b"  PRIMARY KEY ", b"  UNIQUE KEY ")
OTHER_KEYS = (b"  FULLTEXT KEY ", b"  SPATIAL KEY ", b"  CONSTRAINT ", b"  FOREIGN KEY ", b"  VECTOR KEY ")
AUTO_INCREMENT = re.compile(rb"^  `((?:[^`]|``)+)` [^\n]* AUTO_INCREMENT\b", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """For the one session. `alone`: everything before has to be there, rows and indexes, too."""

    content: bytes
    alone: bool = False


@dataclass(frozen=True)
class Begin:
    """The rows of a table follow: its definition has to be there. `after`: what is run once after them, or nothing."""

    table: bytes
    after: bytes


@dataclass(frozen=True)
class Rows:
    """One statement that inserts rows into the table of the last `Begin`."""

    statement: bytes


@dataclass(frozen=True)
class End:
    """No more rows for the table of the last `Begin`."""


Piece = Text | Begin | Rows | End


class Splitter:
    """Feed it blocks, then `finish`; what comes out does not depend on how they were cut."""

    def __init__(self) -> None:
        self._rest = b""
        # Tables whose rows may be given apart -> what is run after them.
        self._apart: dict[bytes, bytes] = {}
        self._table = b""
        self._create: list[bytes] = []
        self._in_body = False
        # What ends the piece that passes on as text while it is read; b"": none does.
        self._passing = b""

    def feed(self, block: bytes) -> Iterator[Piece]:
        data, position = self._rest + block, 0
        while True:
            mark = self._passing or self._mark(data, position)
            found = data.find(mark, position)
            if found < 0:
                break
            piece, position = data[position : found + len(mark)], found + len(mark)
            if self._passing:
                self._passing = b""
                yield Text(piece)
            else:
                yield from self._piece(piece)
        yield from self._keep(data[position:], mark)

    def _mark(self, data: bytes, position: int) -> bytes:
        """What ends the piece that begins at `position`: a statement of rows is one, everything else is taken by lines."""
        rows = not self._in_body and not self._create and data.startswith(INSERT, position)
        return END_OF_STATEMENT if rows else b"\n"

    def _keep(self, rest: bytes, mark: bytes) -> Iterator[Piece]:
        """Wait for the end of what is left; what is too long to wait for passes on as text, up to its end."""
        if not self._passing and len(rest) <= LARGEST:
            self._rest = rest
            return
        self._passing = mark
        # The mark itself may be cut.
        begun = max(len(rest) - len(mark) + 1, 0)
        text, self._rest = b"".join(self._create) + rest[:begun], rest[begun:]
        self._create = []
        if text:
            yield Text(text)

    def finish(self) -> Iterator[Piece]:
        """What is left; a dump that ends in the middle of rows is given as it is, and fails where it is run."""
        text = b"".join(self._create) + self._rest
        self._rest, self._create = b"", []
        if self._table:
            yield End()
        if text:
            yield Text(text, alone=True)

    def _piece(self, line: bytes) -> Iterator[Piece]:
        if self._create:
            yield from self._definition(line)
        elif self._table:
            yield from self._of_rows(line)
        elif line.startswith(DELIMITER):
            self._in_body = line != PLAIN_DELIMITER
            yield Text(line, alone=self._in_body)
        elif self._in_body:
            yield Text(line)
        elif CREATE.fullmatch(line):
            self._create = [line]
        elif (found := LOCK.fullmatch(line)) and found[1] in self._apart:
            self._table = found[1]
            yield Begin(self._table, self._apart[self._table])
        else:
            yield Text(line)

    def _of_rows(self, line: bytes) -> Iterator[Piece]:
        if line.startswith(INSERT):
            yield Rows(line[:-2])
        elif line == UNLOCK:
            self._table = b""
            yield End()
        elif not line.startswith(
            b"/*!40000 ALTER TABLE `"
        ):  # DISABLE KEYS and ENABLE KEYS: InnoDB ignores them.
            yield Text(line)

    def _definition(self, line: bytes) -> Iterator[Piece]:
        self._create.append(line)
        if line.startswith(b")") and line.endswith(b";\n"):
            lines, self._create = self._create, []
            found = CREATE.fullmatch(lines[0])
            if found and may_be_apart(lines):
                lines, self._apart[found[1]] = deferred(found[1], lines)
            yield Text(b"".join(lines))


def may_be_apart(lines: list[bytes]) -> bool:
    """Whether rows of the table with this definition may be inserted in any order, by any session."""
    text = b"".join(lines)
    return (
        LAST_LINE.match(lines[-1]) is not None
        and any(line.startswith(b"  PRIMARY KEY ") for line in lines)
        and not any(word in text for word in NOT_APART)
    )


def deferred(table: bytes, lines: list[bytes]) -> tuple[list[bytes], bytes]:
    """The definition without the indexes that can wait, and the statement that makes them; b"" for none.

    They wait only where the table's definition will be, to the letter, the same: they are the last of the keys, nothing
    else stands behind them, and neither a foreign key nor AUTO_INCREMENT needs one.
    """
    waiting = [line for line in lines if line.startswith(KEY)]
    body = lines[1:-1]
    growing = AUTO_INCREMENT.search(b"".join(lines))
    primary = next(line for line in lines if line.startswith(b"  PRIMARY KEY "))
    if (
        not waiting
        or body[-len(waiting) :] != waiting
        or any(line.startswith(OTHER_KEYS) for line in lines)
        or (growing and not primary.startswith(b"  PRIMARY KEY (`" + growing[1] + b"`"))
    ):
        return lines, b""
    kept = body[: -len(waiting)]
    kept[-1] = kept[-1].removesuffix(b",\n").removesuffix(b"\n") + b"\n"
    keys = b", ".join(b"ADD " + line.strip().removesuffix(b",") for line in waiting)
    return [lines[0], *kept, lines[-1]], b"ALTER TABLE `" + table + b"` " + keys
