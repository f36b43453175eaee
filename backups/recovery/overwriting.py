"""Writes one source into production: from the set, or back from the safety set; and compares what is there then."""

import os
from collections.abc import Sequence

from django.utils.translation import gettext as _

from backups import engines
from backups.engines.base import Engine, Untouched
from backups.models import Part, Source
from backups.recovery import progress
from backups.recovery.placing import by_source, place_source
from backups.recovery.recovering import Recovering
from backups.recovery.safety import Safety
from backups.witness import Witness, differences
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

# What keeps Laravel down: it has to survive the restore of the files around it.
MARKERS = ("storage/framework/down", "storage/framework/maintenance.php")


def overwrite(recovering: Recovering, source: Source, parts: Sequence[Part]) -> None:
    """Overwrite, compare, count. One that was half overwritten is overwritten from the beginning; a whole one is not
    touched again."""
    expected, steps = recovering.expected(source), recovering.recovery.steps
    place = production(recovering, source)
    if not progress.is_done(steps, progress.OVERWRITE + source.name):
        with recovering.step(
            _("overwrite"), f"{place.target} @ {place.host}", key=progress.OVERWRITE + source.name
        ):
            recovering.context.sure()
            _write(recovering, place, recovering.room_for(source), parts, expected)
    counts = bool(source.options.get("critical_tables"))
    last = f"count:{source.name}" if counts else f"compare:{source.name}"
    if progress.is_done(steps, last):
        return
    recovering.forget_differences(source.name)
    with recovering.step(_("compare"), place.target, key=f"compare:{source.name}"):
        found = place.witness()
        recovering.note_differences(source.name, differences(expected, found))
    if counts:
        with recovering.step(_("count the critical tables"), place.target, key=f"count:{source.name}"):
            check_counts(recovering.count(source, place), expected, found)


def _write(
    recovering: Recovering, place: Engine, room: Witness, parts: Sequence[Part], expected: Witness
) -> None:
    try:
        _make_way(recovering, place, room)
    except Untouched:
        # The row has to know: what nobody touched needs no way back.
        recovering.recovery.steps[-1]["untouched"] = True
        raise
    place_source(recovering.context, recovering.readable, parts, place, expected)


def _make_way(recovering: Recovering, place: Engine, expected: Witness) -> None:
    place.prepare(overwrite=True)
    recovering.context.check()
    place.make_room(expected)


def put_back(recovering: Recovering, source: Source, safety: Safety) -> None:
    """Put back what the safety set holds of it. Raises OperationFailed, also where it holds nothing."""
    if not safety.holds(source):
        raise OperationFailed(
            _("%(source)s: nothing was left of it before, so there is nothing to put back.")
            % {"source": source.name},
            permanent=True,
        )
    place, expected = production(recovering, source), safety.witness(source)
    with recovering.step(_("put the safety set back"), place.target, key=progress.PUT_BACK + source.name):
        recovering.context.sure()
        _make_way(recovering, place, expected)
        parts = by_source(safety.parts)[source.name]
        place_source(recovering.context, safety.readable, parts, place, expected)
    with recovering.step(_("compare with the safety set"), place.target, key=f"compare_back:{source.name}"):
        found = differences(expected, place.witness())
        recovering.note_differences(f"{source.name} ({_('safety set')})", found)


def production(recovering: Recovering, source: Source) -> Engine:
    """The source's own place, narrowed to what the set holds of it."""
    return recovering.narrowed(source, _place(recovering.set.system, source))


def _place(system: System, source: Source) -> Engine:
    """The marker of maintenance mode is never touched, whatever the source's options say."""
    place = engines.build(source.engine, source.options)
    if source.engine != "files" or not system.commands_directory:
        return place
    root = os.path.realpath(place.options["path"])
    markers = [os.path.realpath(os.path.join(system.commands_directory, name)) for name in MARKERS]
    inside = [os.path.relpath(marker, root) for marker in markers if marker.startswith(f"{root}/")]
    return place.replaced(keep=list(dict.fromkeys([*place.options["keep"], *inside])))


def check_counts(counted: dict[str, int], expected: Witness, found: Witness) -> None:
    """Raises OperationFailed when a critical table has not the number of rows that it had.

    The two witnesses are compared, which count alike (old rows of versioned tables included); `counted` names
    the tables, with or without their schema.
    """
    for table, rows in counted.items():
        for name, known in expected.contents.items():
            if name != table and not name.endswith(f".{table}"):
                continue
            now = found.contents[name].count if name in found.contents else rows
            if known.count != now:
                raise OperationFailed(
                    _("%(table)s has %(found)d rows after the restore, the set has %(known)d.")
                    % {"table": table, "found": now, "known": known.count}
                )
