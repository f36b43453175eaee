"""Plans what puts rows back: the chosen ones become a file of statements, in order, under one digest.

Nothing is written to production here. What is applied later is that file and nothing else.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _

from backups.models import RowChange, RowComparison
from backups.rows import compare, results
from backups.rows.condition import Condition
from backups.rows.merge import Difference, Kind
from backups.rows.results import Held, Rows, Table
from backups.rows.session import Session
from backups.rows.statements import Writing, readable
from drcenter.audit.record import record
from drcenter.errors import OperationFailed

VERBS = {Kind.DELETED: "INSERT", Kind.CHANGED: "UPDATE", Kind.ADDED: "DELETE"}
# Parents before the rows that need them, the farthest first; what goes before what comes, since it may hold a key
# that is unique; what depends on rows after them.
ORDER = (
    ("role = 'parent' AND chosen", "id DESC"),
    ("role = '' AND chosen AND kind = 'added'", "id"),
    ("role = '' AND chosen AND kind = 'deleted'", "id"),
    ("role = '' AND chosen AND kind = 'changed'", "id"),
    ("role = 'child' AND chosen", "id"),
)


def place_of(change: RowChange) -> Path:
    """The file of the statements of `change`; of one that was applied also what undoes it."""
    return results.directory() / f"change-{change.pk}.sqlite3"


def plan(  # noqa: PLR0913 - all are named
    comparison: RowComparison, *, requested_by: str, parents: bool = True, children: bool = False,
    skip_conflicts: bool = False, without_triggers: bool = False,
) -> RowChange:  # fmt: skip
    """Write down what puts the ticked rows of `comparison` back. Raises OperationFailed when none is ticked."""
    if comparison.state != RowComparison.State.DONE:
        raise OperationFailed(_("This comparison has no result (any more)."), permanent=True)
    with results.changed(compare.place_of(comparison)) as chosen:
        chosen.choose_linked(parents=parents, children=children)
        chosen.commit()
        return _written(
            RowChange(
                comparison=comparison, requested_by=requested_by, skip_conflicts=skip_conflicts,
                without_triggers=without_triggers,
            ),
            chosen.tables(), _in_order(chosen),
        )  # fmt: skip


def plan_undo(change: RowChange, *, requested_by: str, skip_conflicts: bool = False) -> RowChange:
    """Write down what undoes `change`. Raises OperationFailed unless it was applied, and its file is there."""
    if change.state != RowChange.State.APPLIED:
        raise OperationFailed(
            _("Only what was applied can be undone: it is %(state)s.")
            % {"state": change.get_state_display()},
            permanent=True,
        )
    if not place_of(change).exists():
        raise OperationFailed(
            _("The statements that undo it have been removed: they held production's data."),
            _("Compare with a later set instead."), permanent=True,
        )  # fmt: skip
    with results.changed(place_of(change)) as done:
        rows = (_reversed(held) for held in done.each("state = 'done'", "id DESC"))
        undo = RowChange(
            comparison=change.comparison,
            undo_of=change,
            requested_by=requested_by,
            skip_conflicts=skip_conflicts,
        )
        return _written(undo, done.tables(), rows)


def _in_order(chosen: Rows) -> Iterator[tuple[str, Difference]]:
    for where, order in ORDER:
        for held in chosen.each(where, order):
            yield held.table, held.difference


def _reversed(held: Held) -> tuple[str, Difference]:
    turned = {Kind.DELETED: Kind.ADDED, Kind.ADDED: Kind.DELETED, Kind.CHANGED: Kind.CHANGED}
    one = held.difference
    return held.table, Difference(turned[one.kind], one.now, one.then)


def _written(
    change: RowChange, tables: dict[str, Table], rows: Iterator[tuple[str, Difference]]
) -> RowChange:
    counts: dict[str, dict[str, int]] = {}
    with transaction.atomic(), ExitStack() as stack:
        change.save()
        file = stack.enter_context(results.created(place_of(change)))
        for table in tables.values():
            file.add_table(table)
        for name, difference in rows:
            _check(tables[name], difference)
            file.add(name, difference)
            verbs = counts.setdefault(name, {})
            verb = VERBS[difference.kind]
            verbs[verb] = verbs.get(verb, 0) + 1
        if not counts:
            raise OperationFailed(
                _("No row is chosen."), _("Tick rows, or choose all of a filter."), permanent=True
            )
        file.flush()
        with change.comparison.source.build().rows(write=True) as session:
            change.digest = digest(file, session)
            change.notes = [note for name in counts for note in compare.told(session.shape(name))]
        change.counts = counts
        change.save()
        record(
            change.requested_by, "backups.rows.planned", change, digest=change.digest, statements=counts,
            undo_of=change.undo_of_id,
        )  # fmt: skip
    return change


def _check(table: Table, difference: Difference) -> None:
    if difference.kind == Kind.ADDED and table.lacking:
        raise OperationFailed(
            _("Rows of %(table)s cannot be deleted: it has columns that are not compared (%(names)s), so that they"
              " could not be brought back.") % {"table": table.name, "names": ", ".join(table.lacking)},
            _("Leave out the added rows."), permanent=True,
        )  # fmt: skip


def writings(file: Rows, session: Session) -> dict[str, Writing]:
    """How each table of the file is written to."""
    return {
        name: Writing(session.dialect, name, table.columns, table.key)
        for name, table in file.tables().items()
    }


def texts(file: Rows, session: Session, after: int = 0, size: int | None = None) -> Iterator[str]:
    """The statements in order, as a person reads them, or runs them by hand."""
    each = writings(file, session)
    limit = f" LIMIT {int(size)}" if size is not None else ""
    for held in file.each(f"id > {int(after)}", f"id{limit}"):
        yield readable(each[held.table].statement(held.difference)) + ";"


def digest(file: Rows, session: Session) -> str:
    """Of all statements, in order: what an approval is bound to."""
    found = sha256()
    for text in texts(file, session):
        found.update(text.encode("utf-8", "surrogateescape") + b"\n")
    return found.hexdigest()


def chosen_of(comparison: RowComparison, condition: Condition) -> int:
    """Tick exactly the rows of a filter; how many they are."""
    with results.changed(compare.place_of(comparison)) as rows:
        rows.choose(Condition(), chosen=False)
        return rows.choose(condition)
