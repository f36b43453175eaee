"""Writes what differs, or what would be run, to a file instead: CSV for people, SQL for those who run it by hand."""

import os
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from backups.models import RowChange, RowComparison
from backups.rows import changing, compare, results
from backups.rows.condition import Condition
from backups.rows.results import Held, Rows, Table
from backups.rows.values import Value, Values, csv_lines
from drcenter.errors import OperationFailed

# Rows that are read at a time.
PAGE = 1000


def csv_of(comparison: RowComparison, condition: Condition) -> Iterator[str]:
    """The rows of a filter, streamed: what differs how, then each column as it was, and as it is ("… now")."""
    with results.changed(compare.place_of(comparison)) as rows:
        table = next(iter(rows.tables().values()))
        names = [column.name for column in table.columns]
        head = ["kind", *names, *(f"{name} (now)" for name in names)]
        yield from csv_lines(head, (_both(held, table) for held in pages(rows, condition)))


def _both(held: Held, table: Table) -> Values:
    none: tuple[Value, ...] = (None,) * len(table.columns)
    one = held.difference
    return (str(one.kind), *(one.then or none), *(one.now or none))


def pages(rows: Rows, condition: Condition) -> Iterator[Held]:
    """All rows of a filter, read page by page."""
    after = 0
    while page := rows.page(condition, after, PAGE):
        yield from page
        after = page[-1].id


def sql_of(change: RowChange) -> Iterator[str]:
    """The statements of a change, one a line or more, in one transaction, as a person may run them."""
    with (
        results.changed(changing.place_of(change)) as file,
        change.comparison.source.build().rows(write=True) as session,
    ):
        yield "BEGIN;\n"
        for text in changing.texts(file, session):
            yield f"{text}\n"
        yield "COMMIT;\n"


def write(path: str, lines: Iterator[str]) -> None:
    """A new file of mode 0600. Raises OperationFailed when it is there already, or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            for line in lines:
                file.write(line)
    except FileExistsError:
        raise OperationFailed(
            _("%(path)s is there already.") % {"path": path}, _("Name another file.")
        ) from None
    except OSError as error:
        raise OperationFailed(
            _("%(path)s cannot be written: %(error)s.") % {"path": path, "error": error.strerror}
        ) from error
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
