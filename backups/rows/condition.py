"""Filters of differing rows: "total>100", "email~@example.org", and which kinds (pure).

What people write never becomes SQL: columns become positions, values become parameters.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from backups.rows.merge import Kind
from drcenter.errors import OperationFailed

# The longest first, so that ">=" is no ">".
OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
SQL = {"=": "=", "!=": "<>", ">": ">", "<": "<", ">=": ">=", "<=": "<="}


def number(text: Any) -> int | float | None:
    """The number that a value is, however the server writes it: 1, 1.0, -1e3; None for what is none. Also a function
    of the file's database, `drc_number`."""
    if isinstance(text, int | float):
        return text
    if not isinstance(text, str) or not NUMBER.fullmatch(text.strip()):
        return None
    whole = text.strip().lstrip("+-")
    return int(text) if whole.isdigit() and len(whole) < 19 else float(text)


@dataclass(frozen=True)
class Term:
    """One column, by its position, against a value; None: NULL."""

    at: int
    operator: str
    value: str | None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """True if the row as it was, or as it is, fulfils it."""
        sides = [self._of(side) for side in ("was", "now")]
        return f"({sides[0][0]} OR {sides[1][0]})", (*sides[0][1], *sides[1][1])

    def _of(self, side: str) -> tuple[str, tuple[Any, ...]]:
        path = f"$[{int(self.at)}]"
        held, there = f"json_extract({side}, ?)", f"{side} IS NOT NULL"
        if self.value is None:
            return f"({there} AND {held} IS {'NOT ' if self.operator == '!=' else ''}NULL)", (path,)
        if self.operator == "~":
            return f"({there} AND instr(lower({held}), lower(?)) > 0)", (path, self.value)
        wanted = number(self.value)
        if wanted is not None and self.operator not in {"=", "!="}:
            return f"({there} AND drc_number({held}) {SQL[self.operator]} ?)", (path, wanted)
        if wanted is not None:
            # A text that is no number is another one.
            text = f"coalesce(drc_number({held}), {held}) {SQL[self.operator]} ?"
            return f"({there} AND {text})", (path, path, wanted)
        return f"({there} AND CAST({held} AS TEXT) {SQL[self.operator]} ?)", (path, self.value)


@dataclass(frozen=True)
class Condition:
    """Rows of these kinds that fulfil all terms. `linked`: of other tables; None: of the compared one."""

    kinds: tuple[Kind, ...] = tuple(Kind)
    terms: tuple[Term, ...] = ()
    linked: str | None = None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """A condition of the file's `rows`, and its parameters."""
        if self.linked is not None:
            return "role = ?", (self.linked,)
        marks = ", ".join("?" * len(self.kinds))
        parts = [("role = '' AND kind IN (" + marks + ")", tuple(str(kind) for kind in self.kinds))]
        parts += [term.sql() for term in self.terms]
        return " AND ".join(text for text, _values in parts), tuple(
            value for _text, values in parts for value in values
        )


def parsed(texts: Iterable[str], columns: Sequence[str], kinds: Sequence[str] = ()) -> Condition:
    """The condition that people wrote. Raises OperationFailed for what is none, with the columns there are."""
    terms = tuple(_term(text.strip(), columns) for text in texts if text.strip())
    try:
        chosen = tuple(Kind(kind) for kind in kinds) or tuple(Kind)
    except ValueError:
        raise OperationFailed(
            _("%(kinds)s: there are only deleted, changed and added rows.") % {"kinds": ", ".join(kinds)},
            permanent=True,
        ) from None
    return Condition(chosen, terms)


def _term(text: str, columns: Sequence[str]) -> Term:
    """The longest name of a column that the text begins with, then the operator, then the value."""
    for name in sorted(columns, key=len, reverse=True):
        if not text.startswith(name):
            continue
        rest = text[len(name) :].lstrip()
        if operator := next((one for one in OPERATORS if rest.startswith(one)), ""):
            value = rest[len(operator) :].strip()
            if value == "NULL" and operator in {"=", "!="}:
                return Term(columns.index(name), operator, None)
            return Term(columns.index(name), operator, _unquoted(value))
    raise OperationFailed(
        _("“%(text)s” is no condition.") % {"text": text},
        _("Write a column, one of = != < <= > >= ~ (contains), and a value: total>100. Columns: %(columns)s")
        % {"columns": ", ".join(columns)}, permanent=True,
    )  # fmt: skip


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
