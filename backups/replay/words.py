"""A plan, and why there is none, in sentences for people."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.models import Set
from backups.replay.moments import TYPED
from backups.replay.plan import Plan, Unreachable, Why
from drcenter.errors import OperationFailed


def told(moment: datetime | None, zone: ZoneInfo) -> str:
    """On the clock of the place, with its offset: without any doubt, and as it can be typed again."""
    if moment is None:
        return "?"
    local = moment.astimezone(zone)
    parts = f".{local.microsecond // 1000:03}" if local.microsecond else ""
    return f"{local:{TYPED}}{parts}{local:%z}"


def sentences(plan: Plan, base: Set, zone: ZoneInfo) -> list[str]:
    """What would be done, and what exactly comes of it."""
    lines = [
        _("Restore the set %(set)s of %(moment)s into a scratch server: %(size)s.")
        % {"set": base, "moment": told(plan.base.taken, zone), "size": filesizeformat(plan.base.size)},
    ]
    if plan.log_bytes:
        pieces = len({segment.log for segment in plan.segments})
        lines.append(
            ngettext(
                "Replay %(size)s of the log from %(pieces)d file, up to %(stop)s.",
                "Replay %(size)s of the log from %(pieces)d files, up to %(stop)s.",
                pieces,
            )
            % {"size": filesizeformat(plan.log_bytes), "pieces": pieces, "stop": plan.stop}
        )
    else:
        lines.append(_("No log is needed: nothing was committed in between, as far as is known."))
    return [*lines, exactness(plan, zone), duration(plan)]


def exactness(plan: Plan, zone: ZoneInfo) -> str:
    """What is surely in it, and what surely not."""
    if plan.target.moment is None:
        return _(
            "The state is exactly that of the position %(stop)s: every transaction up to it, none after it."
        ) % {"stop": plan.stop}
    if plan.surely is None or plan.atmost is None:
        return ""
    if plan.by_commit_times:
        return _(
            "Everything committed up to %(moment)s is in it, and nothing after it, by the server's own clock."
        ) % {"moment": told(plan.target.moment, zone)}
    seconds = (plan.atmost - plan.surely).total_seconds()
    return _(
        "Everything committed before %(surely)s is in it, and nothing of after %(atmost)s. What was committed in the"
        " %(seconds).1f seconds between may be missing: the log says in which order, not exactly when."
    ) % {"surely": told(plan.surely, zone), "atmost": told(plan.atmost, zone), "seconds": seconds}


def duration(plan: Plan) -> str:
    minutes = max(1, round(plan.seconds / 60))
    text = ngettext("It takes about %(count)d minute", "It takes about %(count)d minutes", minutes) % {
        "count": minutes
    }
    known = (
        _("as measured in earlier recoveries here.")
        if plan.measured
        else _("by a rough guess: none was measured here yet.")
    )
    return f"{text}, {known}"


def refusal(found: Unreachable, zone: ZoneInfo, wanted: datetime | None) -> OperationFailed:
    """Why there is no plan, and what can be had in its place."""
    texts = {
        Why.NO_BASE: lambda: (
            _("No set of this source has a place in the log, so nothing can be replayed onto it."),
            _("Switch the server's log on (log_bin), start a log stream, and take a set: from then on it can."),
        ),
        Why.BEFORE: lambda: (
            _("%(moment)s lies before the first set.") % {"moment": told(wanted, zone)},
            _("The first moment that can be brought back is %(first)s.") % {"first": told(found.earliest, zone)},
        ),
        Why.LATER: lambda: (
            _("The archive of the log does not reach %(moment)s yet.") % {"moment": told(wanted, zone)},
            _("It reaches %(offer)s: take that, or wait until more has been archived.") % {"offer": told(found.offer, zone)},
        ),
        Why.GAP: lambda: (_gap(found, zone), _after_gap(found, zone)),
        Why.UNKNOWN: lambda: (
            _("This position is in no part of the log that leads on from a set."),
            _("The archive reaches %(offer)s.") % {"offer": told(found.offer, zone)},
        ),
    }  # fmt: skip
    message, hint = texts[found.why]()
    return OperationFailed(message, hint, permanent=True)


def _gap(found: Unreachable, zone: ZoneInfo) -> str:
    gap = found.gap
    after = gap.after.ends_at if gap and gap.after else "?"
    before = f"{gap.before.log}:{gap.before.begin}" if gap and gap.before else _("its end")
    return _("A stretch of the log is missing, from %(after)s to %(before)s, and the moment lies behind it.") % {
        "after": after, "before": before}  # fmt: skip


def _after_gap(found: Unreachable, zone: ZoneInfo) -> str:
    hint = _("The last moment before it is %(offer)s; what was committed after that is lost") % {
        "offer": told(found.offer, zone)
    }
    if found.next_base is None:
        return f"{hint}."
    return f"{hint}, " + _("up to the next set, of %(next)s.") % {"next": told(found.next_base, zone)}
