"""Statements that put rows back, each under the condition that production is still as it was shown (pure).

A statement is a list of pieces: SQL text, and values that travel as parameters. What a person reads is the same
list with literals in place of the parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from backups.rows.merge import Difference, Kind
from backups.rows.shape import Column
from backups.rows.values import Value, Values


@dataclass(frozen=True)
class Bound:
    """A value as a parameter. `literal` is what a person reads in its place."""

    value: Value
    literal: str


Statement: TypeAlias = "tuple[str | Bound, ...]"


@dataclass(frozen=True)
class Dialect:
    """How one kind of database writes. `put`: a value as it is stored into a column; `same`: the condition that a
    column holds exactly this value, NULL included; `find`: the condition by which an index finds it, which may be
    wider; `one`: makes a DELETE or UPDATE of `table` under a condition touch one row alone.
    """

    quoted: Callable[[str], str]
    table: Callable[[str], str]
    put: Callable[[Column, Value], Statement]
    same: Callable[[Column, Value], Statement]
    find: Callable[[Column, Value], Statement]
    one: Callable[[str, Statement], Statement]
    insert_words: str = ""
    no_table: str = ""

    def any_of(self, by: Sequence[Column], values: Sequence[Values]) -> Statement:
        """The condition that the columns have one of these values; NULL equals none."""
        names = ", ".join(self.quoted(column.name) for column in by)
        rows = [
            ("(", *joined(", ", [self.put(*pair) for pair in zip(by, row, strict=True)]), ")")
            for row in values
        ]
        return (f"({names}) IN (", *joined(", ", rows), ")")


@dataclass(frozen=True)
class Writing:
    """What is written to: a table of production, the compared columns of it, positions of its key."""

    dialect: Dialect
    table: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]

    def statement(self, difference: Difference) -> Statement:
        """What makes production as it was then, if it is still as it is shown."""
        if difference.kind == Kind.DELETED and difference.then is not None:
            return self._insert(difference.then)
        if difference.kind == Kind.ADDED and difference.now is not None:
            return self._delete(difference.now)
        if difference.then is None or difference.now is None:
            raise ValueError(difference)
        return self._update(difference)

    def finding(self, values: Values) -> Statement:
        """A query: how many rows are exactly so."""
        name = self.dialect.table(self.table)
        return (f"SELECT COUNT(*) FROM {name} WHERE ", *self._as_shown(values))  # noqa: S608 - quoted

    def in_the_way(self, values: Values) -> Statement:
        """A query: how many rows have the key of `values`; of a table that is compared by whole rows: none."""
        if not self.key:
            return ("SELECT 0",)
        return (f"SELECT COUNT(*) FROM {self.dialect.table(self.table)} WHERE ", *self._found(values))  # noqa: S608

    def current(self, values: Values, select: str) -> Statement:
        """A query: the rows that have the key of `values`, as `select` reads them."""
        return (f"SELECT {select} FROM {self.dialect.table(self.table)} WHERE ", *self._found(values))  # noqa: S608

    def _insert(self, values: Values) -> Statement:
        names = ", ".join(self.dialect.quoted(column.name) for column in self.columns)
        puts = joined(", ", [self.dialect.put(*pair) for pair in self._pairs(values)])
        words = self.dialect.insert_words if any(column.always for column in self.columns) else ""
        head = f"INSERT INTO {self.dialect.table(self.table)} ({names}) {words}"
        if not self.key:
            return (f"{head}VALUES (", *puts, ")")
        name = self.dialect.table(self.table)
        return (
            f"{head}SELECT ", *puts, f"{self.dialect.no_table} WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE ",  # noqa: S608
            *self._found(values), ")",
        )  # fmt: skip

    def _update(self, difference: Difference) -> Statement:
        then, now = difference.then, difference.now
        assert then is not None and now is not None  # noqa: S101 - for the type checker
        written = [
            at
            for at, column in enumerate(self.columns)
            if at in difference.changed or (column.restamped and at not in self.key)
        ]
        sets = joined(
            ", ",
            [
                (
                    f"{self.dialect.quoted(self.columns[at].name)} = ",
                    *self.dialect.put(self.columns[at], then[at]),
                )
                for at in written
            ],
        )
        head = f"UPDATE {self.dialect.table(self.table)} SET "  # noqa: S608 - quoted
        return (head, *sets, " WHERE ", *self._as_shown(now))

    def _delete(self, values: Values) -> Statement:
        head = f"DELETE FROM {self.dialect.table(self.table)} WHERE "  # noqa: S608 - quoted
        if self.key:
            return (head, *self._as_shown(values))
        return (head, *self.dialect.one(self.dialect.table(self.table), self._as_shown(values)))

    def _found(self, values: Values) -> Statement:
        return joined(
            " AND ",
            [self.dialect.find(self.columns[at], values[at]) for at in self.key or range(len(values))],
        )

    def _as_shown(self, values: Values) -> Statement:
        """By the index of the key first, and then every column exactly."""
        exact = joined(" AND ", [self.dialect.same(*pair) for pair in self._pairs(values)])
        return (*self._found(values), " AND ", *exact) if self.key else exact

    def _pairs(self, values: Values) -> list[tuple[Column, Value]]:
        return list(zip(self.columns, values, strict=True))


def joined(between: str, pieces: Sequence[Statement]) -> Statement:
    found: list[str | Bound] = []
    for number, piece in enumerate(pieces):
        found += [between, *piece] if number else piece
    return tuple(found)


def rendered(statement: Statement, mark: str) -> tuple[str, tuple[Value, ...]]:
    """The text with `mark` for each parameter, and the parameters. With "%s" every other % is doubled."""
    text, values = [], []
    for piece in statement:
        if isinstance(piece, Bound):
            text.append(mark)
            values.append(piece.value)
        else:
            text.append(piece.replace("%", "%%") if mark == "%s" else piece)
    return "".join(text), tuple(values)


def readable(statement: Statement) -> str:
    """The statement with literals, as a person reads it, or runs it by hand."""
    return "".join(piece.literal if isinstance(piece, Bound) else piece for piece in statement)
