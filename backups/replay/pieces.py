"""Cuts the way from a base to the stop into pieces that mariadb-binlog can replay each with one set of options (pure).

Onto a set of one database only what concerns that database is replayed. `--database` of the tool does that well for
rows, and for statements it looks at the database that the session used: `TRUNCATE shop.orders`, sent by a session
that used another one or none, would be left out without a word. Such statements are pieces of their own, replayed
without that option. Statements on accounts are left out: the accounts of the set are those of the set's moment, and
others are not there.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backups.logs.chain import Position
from backups.replay.binlog import Group, Statement, Walk
from drcenter.errors import OperationFailed

ACCOUNTS = re.compile(
    r"^\s*(?:/\*.*?\*/\s*)*(?:GRANT|REVOKE|FLUSH|RENAME\s+USER|(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:USER|ROLE)"
    r"|SET\s+(?:PASSWORD|DEFAULT\s+ROLE))\b",
    re.IGNORECASE | re.DOTALL,
)
# After it the session uses no database any more: what follows is a piece of its own, which begins with `use`.
DROPS_DATABASE = re.compile(r"^\s*(?:/\*.*?\*/\s*)*DROP\s+(?:DATABASE|SCHEMA)\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A stretch of the log: `files` in order, from a byte of the first to a byte of the last. `whole`: without
    `--database`. `uses`: databases that its sessions use, and which have to exist."""

    files: tuple[Path, ...]
    start: int
    stop: int
    whole: bool = False
    uses: frozenset[str] = frozenset()


@dataclass
class Way:
    """What is replayed: the pieces, how many transactions they hold, and what is left out, as sentences' facts."""

    pieces: list[Piece] = field(default_factory=list)
    transactions: int = 0
    accounts: int = 0
    # Unix time of the newest statement.
    newest: int | None = None
    # The end of the last whole transaction.
    reached: Position | None = None
    last_gtid: str = ""


def cut(files: Sequence[Path], start: Position, stop: Position, database: str | None) -> Way:
    """The way from `start` to `stop` through log files named as the server named them. `database` None: all of them.

    A stop in the middle of a transaction is moved before it. Raises OperationFailed when the files do not hold the way.
    """
    names = [file.name for file in files]
    if start.log not in names or stop.log not in names:
        raise OperationFailed(
            f"The log files from {start} to {stop} are not all there: {', '.join(names) or 'none'}.",
            permanent=True,
        )
    used = list(files)[names.index(start.log) : names.index(stop.log) + 1]
    way, cutter = Way(reached=start), _Cutter(used, start)
    for file in used:
        first = start.offset if file.name == start.log else 4
        last = stop.offset if file.name == stop.log else None
        for group in _groups(file, first, last):
            way.transactions += 1
            way.newest = max(way.newest or 0, group.at)
            way.reached, way.last_gtid = Position(file.name, group.end), group.gtid
            _sort(way, cutter, file, group, database)
    cutter.end(way.reached or start)
    way.pieces = cutter.pieces
    return way


def _groups(file: Path, first: int, last: int | None) -> Iterator[Group]:
    with file.open("rb") as stream:
        yield from Walk(stream, first, last).groups()


def _sort(way: Way, cutter: "_Cutter", file: Path, group: Group, database: str | None) -> None:
    if database is None:
        return
    statements = [one for one in group.statements if not one.rows]
    if any(ACCOUNTS.match(one.text) for one in statements):
        way.accounts += 1
        cutter.leave_out(file, group)
    elif any(one.database != database and mentions(one, database) for one in statements):
        cutter.apart(file, group, frozenset(one.database for one in statements if one.database))
    elif any(DROPS_DATABASE.match(one.text) for one in statements):
        cutter.break_after(file, group)


def mentions(statement: Statement, database: str) -> bool:
    """Whether a statement names something in `database`: `shop.orders`, or the database itself."""
    name = re.escape(database)
    quoted = re.escape(database.replace("`", "``"))
    dotted = rf"(?:`{quoted}`|(?<![\w$`]){name})\s*\.\s*[\w`$]"
    itself = rf"(?:DATABASE|SCHEMA)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:`{quoted}`|{name}(?![\w$]))"
    return re.search(f"{dotted}|{itself}", statement.text, re.IGNORECASE) is not None


class _Cutter:
    """Collects pieces; between two cuts everything is one piece."""

    def __init__(self, files: Sequence[Path], start: Position) -> None:
        self._files, self._names = list(files), [file.name for file in files]
        self._from = start
        self.pieces: list[Piece] = []

    def leave_out(self, file: Path, group: Group) -> None:
        self.end(Position(file.name, group.begin))
        self._from = Position(file.name, group.end)

    def apart(self, file: Path, group: Group, uses: frozenset[str]) -> None:
        self.leave_out(file, group)
        self.pieces.append(Piece((file,), group.begin, group.end, whole=True, uses=uses))

    def break_after(self, file: Path, group: Group) -> None:
        self.end(Position(file.name, group.end))
        self._from = Position(file.name, group.end)

    def end(self, stop: Position) -> None:
        first, last = self._names.index(self._from.log), self._names.index(stop.log)
        if (first, self._from.offset) < (last, stop.offset):
            files = tuple(self._files[first : last + 1])
            self.pieces.append(Piece(files, self._from.offset, stop.offset))
