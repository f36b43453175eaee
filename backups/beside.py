"""A restore beside the originals: into new databases and directories, which vanish again when it fails."""

import os
from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.models import Part, Recovery, Source
from backups.placing import place_source
from backups.recovering import Recovering
from backups.witness import differences, withholding
from drcenter.errors import OperationFailed
from drcenter.systems.models import System


def check_places(system: System, sources: Sequence[Source], names: Mapping[str, str]) -> dict[str, Engine]:
    """The place of each source beside its original. Raises OperationFailed when a name is missing, or
    leads to an original, into its own, or to the same place twice."""
    originals = [source.build() for source in system.sources.all()]
    places: dict[str, Engine] = {}
    for source in sources:
        name = names.get(source.name, "")
        if not name.strip() or not name.isprintable():
            raise OperationFailed(
                _("%(source)s needs a name beside the original, in printable characters.")
                % {"source": source},
                permanent=True,
            )
        place = source.build().beside(name)
        if any(_same(place, original) for original in originals) or _inside(place, source.build()):
            raise OperationFailed(
                _("%(target)s is an original, or inside of it, not a place beside it.") % {"target": place.target},
                _("Choose another name."), permanent=True,
            )  # fmt: skip
        if place.target in {other.target for other in places.values()}:
            raise OperationFailed(
                _("Two sources cannot be restored into the same place: %(target)s") % {"target": place.target},
                _("Choose another name."), permanent=True,
            )  # fmt: skip
        places[source.name] = place
    return places


def _same(place: Engine, original: Engine) -> bool:
    return place.target == original.target or _path(place) == _path(original) != ""


def _inside(place: Engine, original: Engine) -> bool:
    """In its own original. Others' are allowed: a database file stands in the directory of its application."""
    return bool(_path(original)) and _path(place).startswith(f"{_path(original)}/")


def _path(engine: Engine) -> str:
    return os.path.realpath(engine.options["path"]) if engine.options.get("path") else ""


def restore(recovering: Recovering) -> None:
    """Restore each source into its place. Raises what made one fail, after removing what was half restored."""
    done: list[str] = []
    for source, parts in recovering.sources():
        try:
            place = _place_beside(recovering, source, parts)
            done.append(place.target)
            _look_at(recovering, source, place)
        except BaseException:
            if done:
                recovering.afterword = _("Restored before that, and left there: %(places)s.") % {
                    "places": ", ".join(done)
                }
            raise


def _place_beside(recovering: Recovering, source: Source, parts: Sequence[Part]) -> Engine:
    place = source.build().beside(recovering.recovery.names[source.name])
    expected = recovering.expected(source)
    with recovering.step(_("prepare"), place.target):
        place.prepare(overwrite=False)
    try:
        with recovering.step(_("restore"), place.target):
            place_source(recovering.context, recovering.readable, parts, place, expected)
    except BaseException as error:
        _remove(recovering, place, error)
        raise
    return place


def _look_at(recovering: Recovering, source: Source, place: Engine) -> None:
    with recovering.step(_("compare"), place.target):
        now = place.witness()
        expected, withheld = withholding(recovering.expected(source), now, place.withheld)
        for name, reason in withheld.items():
            recovering.context.log(f"{source.name}: {name}: {reason}")
        found = differences(expected, now)
        recovering.note_differences(source.name, found)
    recovering.count(source, place)


def _remove(recovering: Recovering, place: Engine, error: BaseException) -> None:
    """Remove what is half restored. That it cannot be removed does not hide why it failed."""
    stopped = recovering.was_stopped(error)
    recovering.end_state = Recovery.State.CANCELLED if stopped else Recovery.State.FAILED
    recovering.context.go_on()
    try:
        with recovering.step(_("remove what is half restored"), place.target):
            place.drop()
    except Exception as second:  # noqa: BLE001 - whatever it is, the first error is the one to tell
        recovering.hint = _("What is half restored is still there, remove it by hand: %(target)s (%(error)s)") % {
            "target": place.target, "error": second}  # fmt: skip
