"""What a recovery into production would do, as a plan that can be compared: nothing but text, numbers and lists."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from backups.models import Copy, Recovery, Source
from backups.recovery import digest, kinds
from drcenter.systems.models import System


def contents(recovery: Recovery, sources: Sequence[Source]) -> dict[str, Any]:
    """The plan of `recovery` as it would run now, from the rows in hand: whoever runs it runs these.

    Options of sources and destinations stand in it as digests, so that nothing of them is shown or kept twice.
    Raises OperationFailed when a source cannot even be named any more.
    """
    return {
        "version": digest.VERSION,
        "kind": recovery.kind,
        "place": recovery.place,
        "system": recovery.copy.set.system.slug,
        "typed": recovery.typed_host,
        "set": _set(recovery.copy),
        "sources": {source.name: _source(source) for source in sources},
        "names": dict(recovery.names),
        "commands": _commands(recovery.copy.set.system),
        "options": {"skip_safety": recovery.skip_safety, "skip_stop": recovery.skip_stop},
        "payload": dict(kinds.of(recovery).payload(recovery)),
    }


def _set(copy: Copy) -> dict[str, Any]:
    one, place = copy.set, copy.destination
    parts = [[part.key, part.stored_sha256] for part in one.parts.order_by("order", "key")]
    return {
        "name": str(one),
        "checksums_sha256": one.checksums_sha256,
        "parts_sha256": digest.digest({"parts": parts}),
        "destination": place.name,
        "destination_sha256": digest.digest({"kind": place.kind, "options": place.options}),
    }


def _source(source: Source) -> dict[str, Any]:
    engine = source.build()
    return {
        "engine": source.engine,
        "target": str(engine.target),
        "host": engine.host,
        "options_sha256": digest.digest({"options": source.options}),
    }


def _commands(system: System) -> dict[str, Any]:
    return {
        "stop": system.pause_command,
        "clean_up": system.after_restore_command,
        "start": system.resume_command,
        "directory": system.commands_directory,
        "user": system.commands_user,
        "ways_to_stop": [
            {"kind": way.kind, "options_sha256": digest.digest({"options": way.options})}
            for way in system.halts.filter(enabled=True).order_by("order", "pk")
        ],
    }


def fingerprint(text: str) -> str:
    """A digest as people compare it: the first 16 hexadecimal digits in groups of four."""
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def in_words(places: Sequence[tuple[str, ...]]) -> str:
    """What has changed, for people: one or two words for each place of a plan."""
    return ", ".join(dict.fromkeys(_in_words(place) for place in places))


def _in_words(place: tuple[str, ...]) -> str:
    first, *rest = place
    if first == "sources" and rest:
        what = {
            "target": _("target"),
            "host": _("host"),
            "options_sha256": _("options"),
            "engine": _("engine"),
        }
        detail = what.get(rest[1], rest[1]) if len(rest) > 1 else _("chosen or not")
        return _("%(what)s of the source %(source)s") % {"what": detail, "source": rest[0]}
    if first == "commands" and rest:
        commands = {
            "stop": _("stop commands"), "clean_up": _("clean-up commands"), "start": _("start commands"),
            "directory": _("directory of the commands"), "user": _("user of the commands"),
            "ways_to_stop": _("ways to stop the application"),
        }  # fmt: skip
        return commands.get(rest[0], rest[0])
    words = {
        "set": _("the set or its destination"),
        "payload": _("what would be written"),
        "options": _("options"),
    }
    return words.get(first, first)
