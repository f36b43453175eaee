"""Removes files of rows after some days: they hold production's data in the clear, for whoever can read DRC_STATE."""

import os
import re
import time
from contextlib import suppress

from backups.models import RowChange, RowComparison
from backups.rows import compare, results

# Seconds. What undoes a change is kept longer than what differed.
COMPARISON_SECONDS = 7 * 86400
CHANGE_SECONDS = 30 * 86400
NAME = re.compile(r"(comparison|change)-(\d+)\.sqlite3")


def remove_old() -> None:
    """A tick: what is too old, and what belongs to no row."""
    directory = results.directory()
    if not directory.is_dir():
        return
    for entry in os.scandir(directory):
        found = NAME.fullmatch(entry.name)
        if found is None:
            continue
        with suppress(FileNotFoundError):
            kind, number, age = found[1], int(found[2]), time.time() - entry.stat().st_mtime
            if kind == "comparison" and age > COMPARISON_SECONDS:
                _forget(number)
            elif (kind == "change" and age > CHANGE_SECONDS) or (age > 3600 and not _known(kind, number)):
                results.remove(directory / entry.name)


def _known(kind: str, number: int) -> bool:
    if kind == "comparison":
        return RowComparison.objects.filter(pk=number).exists()
    return RowChange.objects.filter(pk=number).exists()


def _forget(number: int) -> None:
    comparison = RowComparison.objects.filter(pk=number).first()
    if comparison is None:
        results.remove(results.directory() / f"comparison-{number}.sqlite3")
    else:
        forget(comparison)


def forget(comparison: RowComparison) -> None:
    """Remove what differed; the row says so."""
    results.remove(compare.place_of(comparison))
    RowComparison.objects.filter(pk=comparison.pk, state=RowComparison.State.DONE).update(
        state=RowComparison.State.REMOVED
    )
