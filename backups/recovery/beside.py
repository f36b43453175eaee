"""A restore beside the originals: into new databases and directories, which vanish again when it fails."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.models import Part, Recovery, Set, Source
from backups.recovery import restored
from backups.recovery.placing import place_source
from backups.recovery.recovering import Recovering
from backups.witness import differences, withholding
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

# Databases' names have 63 (PostgreSQL) or 64 (MariaDB) characters at most.
LONGEST_NAME = 63


def default_name(one: Set, source: Source) -> str:
    """Where `source` goes unless somebody says where: a path below the state directory, or a new database's name."""
    if source.build().beside_on_disk:
        return restored.free_place(one.system.slug, one.identifier, source.name)
    stamp = one.identifier[:15].replace("T", "_").lower()
    stem = f"{one.system.slug}_{source.name}".replace("-", "_")
    return f"{stem[: LONGEST_NAME - len(stamp) - 1]}_{stamp}"


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


def targets(recovery: Recovery) -> dict[str, str]:
    """Where each source of a restore beside was put, as an operator recognises it."""
    found = {}
    for source in recovery.sources.all():
        if name := recovery.names.get(source.name):
            found[source.name] = source.build().beside(name).target
    return found


def exposed(place: Engine) -> str:
    """A warning, "" if there is none: what is restored inside of a directory that is backed up is in its next sets."""
    path = _path(place)
    for source in Source.objects.select_related("system") if path else ():
        try:
            engine = source.build()
        except OperationFailed:
            continue
        if restored.root() not in Path(path).parents and _inside(place, engine):
            return _(
                "%(place)s lies in %(directory)s, which %(source)s backs up: it will be in the next sets, and a web "
                "server may serve it. Without a name it would lie below %(root)s."
            ) % {"place": path, "directory": _path(engine), "source": source, "root": restored.root()}
    return ""


def _same(place: Engine, original: Engine) -> bool:
    return place.target == original.target or _path(place) == _path(original) != ""


def _inside(place: Engine, original: Engine) -> bool:
    """In its own original. Others' are allowed: a database file stands in the directory of its application."""
    return bool(_path(original)) and _path(place).startswith(f"{_path(original)}/")


def _path(engine: Engine) -> str:
    return os.path.realpath(engine.on_disk) if engine.on_disk else ""


def check_room(recovering: Recovering) -> None:
    """Raises OperationFailed, before anything is read, when what is to be restored does not fit on a disk here."""
    needed: dict[int, int] = {}
    for source, parts in recovering.sources():
        place = source.build().beside(recovering.recovery.names[source.name])
        if not place.beside_on_disk:
            continue
        directory = _existing(_path(place))
        disk = os.stat(directory).st_dev
        needed[disk] = size = needed.get(disk, 0) + sum(part.plain_size for part in parts)
        if size > (free := shutil.disk_usage(directory).free):
            raise OperationFailed(
                _("The restore needs about %(size)d bytes in %(place)s, where %(free)d are free.")
                % {"size": size, "place": directory, "free": free},
                _("Make room there, or name another place: an absolute path."),
            )


def _existing(path: str) -> str:
    """`path`, or the nearest directory above it that is there."""
    return path if os.path.exists(path) else _existing(os.path.dirname(path))


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
    place = recovering.narrowed(source, source.build()).beside(recovering.recovery.names[source.name])
    expected = recovering.expected(source)
    if warning := exposed(place):
        recovering.context.log(warning, "warning")
    with recovering.step(_("prepare"), place.target):
        restored.shelter(_path(place))
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
            restored.clear_away(_path(place))
    except Exception as second:  # noqa: BLE001 - whatever it is, the first error is the one to tell
        recovering.hint = _("What is half restored is still there, remove it by hand: %(target)s (%(error)s)") % {
            "target": place.target, "error": second}  # fmt: skip
