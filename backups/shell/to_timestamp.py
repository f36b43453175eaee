"""`recover to-timestamp`: a source as of a point in time, from the shell."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.engines import _postgresql_wal as wal
from backups.models import Recovery, Set, Source
from backups.recovery import identities
from backups.replay import bases, moments, rewind, search, words
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
    act.add_argument("--lsn", help=_("up to this place in the log of PostgreSQL, as 16/B374D848"))
    act.add_argument("--gtid", help=_("up to this transaction of MariaDB, and with it, as 0-1-4711"))
    act.add_argument("--before-statement", metavar="TEXT",
                     help=_("up to just before the transaction with this text, or with “delete shop.orders”; see --choose"))  # fmt: skip
    act.add_argument(
        "--choose", type=int, metavar="N", help=_("which of those that were found; 1 is the newest")
    )
    act.add_argument("--since", metavar="MOMENT", help=_("search from then on (default: a day ago)"))
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
    known = bases.of(source)
    point = _point(source, known, options)
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


def _point(source: Source, known: bases.Known, options: dict[str, Any]) -> Point:
    given = [name for name in ("moment", "position", "lsn", "gtid", "before_statement") if options[name]]
    if len(given) != 1:
        raise cli.usage(_("Say one thing: a moment, --position, --lsn, --gtid or --before-statement."))
    if given[0] in {"gtid", "before_statement"}:
        return _searched(source, known, options)
    if options["lsn"]:
        return Point(
            source.pk, position=_located(known, options["lsn"].strip()), words=options["lsn"].strip()
        )
    if options["position"]:
        try:
            read_position(options["position"])
        except ValueError:
            raise cli.usage(_("A position is written like binlog.000012:4711.")) from None
        return Point(source.pk, position=options["position"].strip(), words=options["position"])
    moment, zone = _read(source, options["moment"]), ZoneInfo(source.system.time_zone)
    return Point(source.pk, moment=moment.isoformat(), words=words.told(moment, zone))


def _located(known: bases.Known, lsn: str) -> str:
    files: dict[str, int] = {}
    for one in known.segments:
        files[one.log] = max(one.end, files.get(one.log, 0))
    try:
        return "{}:{}".format(*wal.located(lsn, files))
    except ValueError:
        raise cli.usage(_("A place in the log of PostgreSQL is written like 16/B374D848.")) from None
    except LookupError:
        raise OperationFailed(
            _("No archived log file has %(lsn)s in it.") % {"lsn": lsn},
            _(
                "Look what the server said: SELECT pg_current_wal_lsn(). For MariaDB say --position or --gtid."
            ),
            permanent=True,
        ) from None


def _read(source: Source, text: str) -> datetime:
    try:
        return moments.read(text, ZoneInfo(source.system.time_zone), timezone.now())
    except OperationFailed as error:
        raise cli.usage(f"{error.message} {error.hint}".strip()) from None


def _searched(source: Source, known: bases.Known, options: dict[str, Any]) -> Point:
    """A place in the log that was searched for; the log is read for that, which may need the identity."""
    encrypted = any(one.key.endswith(".age") for one in known.segments)
    secret = cli.identity_from(options["identity_file"], encrypted=encrypted)
    people = identities.parse(secret.reveal()) if secret else identities.for_drills()
    if options["gtid"]:
        found = search.gtid(known, options["gtid"], people)
        return Point(source.pk, position=str(found.behind), words=options["gtid"])
    since = _read(source, options["since"]) if options["since"] else timezone.now() - timedelta(days=1)
    one = _chosen(search.statements(known, options["before_statement"], since, people), options, source)
    return Point(source.pk, position=str(one.before), words=_("just before %(text)s") % {"text": one.text})


def _chosen(found: list[search.Candidate], options: dict[str, Any], source: Source) -> search.Candidate:
    if not found:
        raise OperationFailed(
            _("No transaction of that time has “%(text)s” in it.") % {"text": options["before_statement"]},
            _("Say less of it, or search further back: --since."), permanent=True,
        )  # fmt: skip
    number = options["choose"] or (1 if len(found) == 1 else 0)
    if 1 <= number <= len(found):
        return found[number - 1]
    zone = ZoneInfo(source.system.time_zone)
    lines = [
        f"  {at}. {words.told(one.at, zone)}  {one.before}  {one.gtid}  {one.text}"
        for at, one in enumerate(found, 1)
    ]
    raise cli.usage("\n".join([_("Several fit. Say which one with --choose N:"), *lines]))


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
