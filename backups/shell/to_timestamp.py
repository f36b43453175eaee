"""`recover to-timestamp`: a source as of a point in time, from the shell."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Recovery, Set, Source
from backups.replay import bases, moments, rewind, words
from backups.replay.plan import Plan
from backups.replay.point import Point, read_position
from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.systems.models import System

NAME = "to-timestamp"
KEEP_MINUTES = 30


def add_arguments(act: ArgumentParser) -> None:
    act.add_argument("moment", nargs="?", help=_("on the clock of the system, as 2025-06-17 14:00:00"))
    act.add_argument("--position", help=_("up to this place in the log, as binlog.000012:4711"))
    act.add_argument("--plan-only", action="store_true", help=_("show the plan, and do nothing"))
    act.add_argument("--keep-minutes", type=int, default=KEEP_MINUTES,
                     help=_("how long the scratch server stays to be looked at (default: 30)"))  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What was asked for: a source, the point, and the plan that leads there."""

    source: Source
    point: Point
    known: bases.Known
    plan: Plan


def wanted(system: System, options: dict[str, Any]) -> Wanted:
    """Raises OperationFailed when no way leads there, CommandError for contradictions."""
    source = _source(system, options["source"])
    point = _point(source, options)
    known = bases.of(source)
    return Wanted(source, point, known, rewind.plan_for(known, point))


def _source(system: System, named: list[str]) -> Source:
    sources = [one for one in system.sources.order_by("name") if bases.replayable(one)]
    known = cli.listed([one.name for one in sources], _("none"))
    if len(named) > 1:
        raise cli.usage(_("One source at a time."))
    if named:
        sources = [one for one in sources if one.name == named[0]]
    if len(sources) == 1:
        return sources[0]
    text = _("Name the database with --source. Those with a log: %(known)s")
    raise cli.usage(text % {"known": known})


def _point(source: Source, options: dict[str, Any]) -> Point:
    given = [name for name in ("moment", "position") if options[name]]
    if len(given) != 1:
        raise cli.usage(_("Say one thing: a moment, or --position."))
    if options["position"]:
        try:
            read_position(options["position"])
        except ValueError:
            raise cli.usage(_("A position is written like binlog.000012:4711.")) from None
        return Point(source.pk, position=options["position"].strip(), words=options["position"])
    zone = ZoneInfo(source.system.time_zone)
    try:
        moment = moments.read(options["moment"], zone, timezone.now())
    except OperationFailed as error:
        raise cli.usage(f"{error.message} {error.hint}".strip()) from None
    return Point(source.pk, moment=moment.isoformat(), words=words.told(moment, zone))


def sentences(asked: Wanted) -> list[str]:
    zone = ZoneInfo(asked.source.system.time_zone)
    return words.sentences(asked.plan, asked.known.based_on(asked.plan)[0], zone)


def as_json(asked: Wanted) -> dict[str, Any]:
    plan, point = asked.plan, Point(asked.source.pk)
    point.note(plan)
    return {
        "source": asked.source.name, "set": str(asked.known.based_on(plan)[0]), "stop": point.stop,
        "surely": point.surely, "atmost": point.atmost, "set_bytes": plan.base.size, "log_bytes": plan.log_bytes,
        "segments": len(plan.segments), "seconds": round(plan.seconds, 1), "measured": plan.measured,
        "steps": sentences(asked),
    }  # fmt: skip


def bring_back(
    asked: Wanted, options: dict[str, Any], *, store: bool, talk: Callable[[str], object]
) -> Recovery:
    """Into the scratch server; it is kept for a look unless it is to be stored at once."""
    base, _source = asked.known.based_on(asked.plan)
    point = asked.point
    point.store, point.keep_minutes = store, 0 if store else options["keep_minutes"]
    encrypted = base.encrypted or asked.plan.encrypted
    identity = cli.identity_from(options["identity_file"], encrypted=encrypted)
    with kept_here():
        row = rewind.request(asked.source, point, requested_by=cli.actor(), identity=identity)
    if row.job is None:
        raise OperationFailed(_("Its job is gone."))
    if point.keep_minutes:
        talk(
            _("It stays for %(minutes)d minutes to be looked at; the log says how. Ctrl-C ends it.")
            % {"minutes": point.keep_minutes}
        )
    run_here(row.job, sys.stderr if options["json"] else sys.stdout, cli.actor())
    return Recovery.objects.get(pk=row.pk)


def stored(row: Recovery) -> Set:
    """Raises OperationFailed when it did not come so far."""
    found = Set.objects.filter(pk=Point.from_json(row.point).stored or 0).first()
    if row.state != Recovery.State.SUCCEEDED or found is None:
        raise OperationFailed(row.message or _("It did not come so far."), row.hint)
    return found
