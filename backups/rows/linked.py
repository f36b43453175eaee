"""Rows of other tables that deleted rows need (parents), or that went with them (children): offered along.

Parents are looked for as far up as they are missing in production; of children also what they need, and their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from django.utils.translation import gettext as _

from backups.rows.merge import Difference, Kind
from backups.rows.results import CHILD, PARENT, Held, Rows, Table
from backups.rows.session import Session
from backups.rows.shape import Common, ForeignKey, Shape, common
from backups.rows.statements import Writing
from backups.rows.values import Values, packed, shown
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext

BATCH = 500


def find(context: JobContext, file: Rows, then: Session, now: Session, main: Shape) -> None:
    """Add to `file` what the deleted rows in it need, and what was deleted with them."""
    search = _Search(file, then, now, main)
    last = 0
    while batch := file.deleted_after(last, BATCH):
        context.phase(_("looking for linked rows"), f"{main.table}: {last}")
        last = batch[-1].id
        for table in dict.fromkeys(held.table for held in batch):
            search.around([held for held in batch if held.table == table])


@dataclass(frozen=True)
class _Known:
    """A table on both sides, as far as it can be compared; `common` None: it cannot, and `why`."""

    shape: Shape | None
    common: Common | None
    why: str = ""


class _Search:
    def __init__(self, file: Rows, then: Session, now: Session, main: Shape) -> None:
        self._file, self._then, self._now = file, then, now
        self._main = main.table
        self._tables: dict[str, _Known] = {}

    def around(self, rows: Sequence[Held]) -> None:
        """The parents of deleted rows of one table, and unless they are parents themselves, their children."""
        known = self._known(rows[0].table)
        if known.shape is None or known.common is None:
            return
        for link in known.shape.parents:
            self._parents([held for held in rows if held.table == link.table], link, known.common)
        for link in known.shape.children:
            self._children([held for held in rows if held.role != PARENT], link, known.common)

    def _known(self, table: str) -> _Known:
        if table not in self._tables:
            self._tables[table] = self._look(table)
        return self._tables[table]

    def _look(self, table: str) -> _Known:
        """The compared table may have been called otherwise then: of it the columns in the file count."""
        if table == self._main:
            held = self._file.tables()[table]
            return _Known(self._now.shape(table), Common(held.columns, held.columns, held.key))
        try:
            shape = self._now.shape(table)
            return _Known(shape, common(self._then.shape(table), shape))
        except OperationFailed as error:
            return _Known(None, None, error.message)

    # ------------------------------------------------------------------ parents

    def _parents(self, rows: Sequence[Held], link: ForeignKey, child: Common) -> None:
        if not set(link.columns) <= set(child.names):
            return
        places = [child.names.index(name) for name in link.columns]
        wanted: dict[Values, list[Held]] = {}
        for held in rows:
            values = tuple((held.difference.then or ())[at] for at in places)
            if None not in values:
                wanted.setdefault(values, []).append(held)
        missing = self._missing(link.other, link.others, list(wanted))
        if not missing:
            return
        found = self._offer_parents(link, missing, wanted)
        for values in missing:
            for held in wanted[values] if values not in found else ():
                self._file.note(held.id, self._gone(link, values))

    def _offer_parents(
        self, link: ForeignKey, missing: list[Values], wanted: dict[Values, list[Held]]
    ) -> set[Values]:
        """Those of `missing` that the set has: they are in the file now, linked with the rows that need them."""
        known, found = self._known(link.other), set()
        if known.common is not None and link.other != self._main:
            for values, row in self._rows_then(link.other, link.others, missing, known.common):
                found.add(values)
                number = self._add(link.other, PARENT, row, known.common)
                for held in wanted.get(values, ()):
                    self._file.link(held.id, number)
        return found

    def _gone(self, link: ForeignKey, values: Values) -> str:
        text = ", ".join(f"{name} {shown(value)}" for name, value in zip(link.others, values, strict=True))
        if link.other == self._main:
            return _("It refers to another deleted row of the table (%(row)s): choose that one too.") % {
                "row": text
            }
        return _("It refers to %(table)s %(row)s, which is neither in production nor in the set.") % {
            "table": link.other, "row": text,
        }  # fmt: skip

    def _missing(self, table: str, by: Sequence[str], values: list[Values]) -> list[Values]:
        """Those of `values` that production does not have in these columns."""
        if not values:
            return []
        shape = self._now.shape(table)
        columns = [shape.column(name) for name in by]
        there = set(self._now.lookup(table, columns, columns, values))
        # Two texts may be one for the server ("a" and "A"), as two numbers are (1 and 1.0): then it is asked.
        writing = Writing(self._now.dialect, table, tuple(columns), tuple(range(len(columns))))
        return [one for one in values if one not in there and not self._now.count(writing.in_the_way(one))]

    def _rows_then(
        self, table: str, by: Sequence[str], values: Sequence[Values], shared: Common
    ) -> Iterator[tuple[Values, Values]]:
        """(values of the columns `by`, the row) of what the set holds."""
        shape = self._then.shape(table)
        columns = [shape.column(name) for name in by]
        for row in self._then.lookup(table, [*columns, *shared.then], columns, values):
            yield row[: len(by)], row[len(by) :]

    def _add(self, table: str, role: str, row: Values, shared: Common) -> int:
        self._file.add_table(Table(table, role, shared.now, shared.key, shared.lacking))
        mark = f"{table}:{sha256((packed(row) or '').encode()).hexdigest()}"
        return self._file.add_linked(table, role, Difference(Kind.DELETED, row, None), mark)

    # ------------------------------------------------------------------ children

    def _children(self, rows: Sequence[Held], link: ForeignKey, parent: Common) -> None:
        known = self._known(link.table)
        if not rows or link.table == self._main or known.common is None or not known.common.key:
            return
        if not set(link.others) <= set(parent.names):
            return
        places = [parent.names.index(name) for name in link.others]
        wanted: dict[Values, list[Held]] = {}
        for held in rows:
            wanted.setdefault(tuple((held.difference.then or ())[at] for at in places), []).append(held)
        found = list(self._rows_then(link.table, link.columns, list(wanted), known.common))
        keys = [tuple(row[at] for at in known.common.key) for _values, row in found]
        names = [known.common.names[at] for at in known.common.key]
        gone = set(self._missing(link.table, names, list(dict.fromkeys(keys))))
        for (values, row), key in zip(found, keys, strict=True):
            if key in gone:
                number = self._add(link.table, CHILD, row, known.common)
                for held in wanted.get(values, ()):
                    self._file.link(number, held.id)
