"""How the protection of every system stands, for machines and for people."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from backups import exposed, exposure_words, needs_proof
from backups.models import Approval, Copy, Plan, Set
from backups.models.level import at_least
from backups.places import safekeeping
from backups.recovery import break_glass
from backups.schedule import overdue
from drcenter.jobs.models import OPEN
from drcenter.systems.models import System

BAD_ENDS = (Set.State.FAILED, Set.State.LOST)


def report(now: datetime) -> dict[str, Any]:
    """What the newest set of every plan is, and whether that is good enough.

    `ok` of a plan: its newest complete set reached the plan's level, lacks nothing, has a copy that is not
    damaged, and is not older than the plan allows; and its last run that ended went well. A set that is still
    being proven counts when that is done, and one that was saved before a restore never.
    A plan that is switched off has `ok` None, and counts for nothing; a system without any other is not ok.
    Ages in seconds, moments in ISO 8601, UTC.
    """
    systems = [_system(system, now) for system in System.objects.prefetch_related("plans").order_by("slug")]
    reason = "" if systems else _("No system is protected yet.")
    return {
        "at": now.isoformat(),
        "ok": bool(systems) and all(system["ok"] for system in systems),
        "reason": reason,
        "systems": systems,
        "unreviewed": [_unreviewed(one) for one in break_glass.unreviewed()],
    }


def _unreviewed(one: Approval) -> dict[str, Any]:
    """A break-glass that nobody has looked at yet."""
    return {
        "recovery": one.recovery_id,
        "by": one.by,
        "reason": one.reason,
        "due_at": one.review_due_at.isoformat() if one.review_due_at else None,
    }


def _system(system: System, now: datetime) -> dict[str, Any]:
    plans = [describe(plan, now) for plan in system.plans.order_by("name")]
    judged = [plan["ok"] for plan in plans if plan["ok"] is not None]
    classes = [exposure_words.as_json(one, system) for one in exposed.of_system(system, now)]
    broken = [one["class"] for one in classes if one["ok"] is False]
    if broken:
        names = ", ".join(exposure_words.class_name(name) for name in broken)
        reason = _("What was promised does not hold: %(classes)s.") % {"classes": names}
    else:
        reason = "" if judged else _("No plan of this system is switched on.")
    return {
        "system": system.slug,
        "name": system.name,
        "ok": bool(judged) and all(judged) and not broken,
        "reason": reason,
        "rule": _rule(system, now),
        "plans": plans,
        "exposure": classes,
    }


def _rule(system: System, now: datetime) -> dict[str, Any]:
    """Three copies, two kinds, one away, one locked: whether that holds, and what is missing."""
    found = safekeeping.of_system(system, now)
    return {"holds": found.holds, "missing": list(found.missing)}


def describe(plan: Plan, now: datetime) -> dict[str, Any]:
    """One plan as in `report`."""
    newest = newest_settled(plan)
    moment = moment_of(newest) if newest else None
    reason = shortcoming(plan, newest, now)
    changed = needs_proof.of_plan(plan) if plan.enabled else []
    return {
        "plan": plan.name,
        "enabled": plan.enabled,
        "ok": not reason if plan.enabled else None,
        "reason": reason if plan.enabled else _("The plan is switched off."),
        "set": newest.identifier if newest else None,
        "level": newest.level if newest else None,
        "wanted_level": plan.level,
        "needs_proof": bool(changed),
        "needs_proof_reason": needs_proof.told(changed),
        "moment": moment.isoformat() if moment else None,
        "age_seconds": max(0, int((now - moment).total_seconds())) if moment else None,
        "target_age_seconds": int(plan.target_age.total_seconds()),
        "last_run": _last_run(plan),
    }


def newest_settled(plan: Plan) -> Set | None:
    """The newest complete set of which no more is to come."""
    sets = _planned(plan).exclude(job__isnull=False, job__state__in=OPEN)
    newest: Set | None = sets.order_by("-started_at", "-pk").first()
    return newest


def runs_of(plan: Plan) -> QuerySet[Set]:
    """Its sets, but for those saved before a restore, which hold what somebody wanted to be rid of, and those of
    other tables than the plan takes."""
    return plan.sets.exclude(reason__in=Set.ASIDE).exclude(apart=True)


def _planned(plan: Plan) -> QuerySet[Set]:
    return runs_of(plan).filter(state=Set.State.COMPLETE)


def moment_of(one: Set) -> datetime:
    """What was committed before this is in the set."""
    return one.moment or one.started_at or one.created_at


def damaged(one: Set) -> bool:
    """No copy is complete, and at least one is known to be damaged."""
    states = {copy.state for copy in one.copies.all()}
    return Copy.State.DAMAGED in states and Copy.State.COMPLETE not in states


def damage(one: Set) -> str:
    """What is known of the damage, each copy with its destination."""
    copies = one.copies.filter(state=Copy.State.DAMAGED).select_related("destination").order_by("pk")
    return "; ".join(f"{copy.destination}: {copy.message or copy.get_state_display()}" for copy in copies)


def shortcoming(plan: Plan, newest: Set | None, now: datetime) -> str:
    """Why the plan is not good as it stands, in a sentence; "" if it is."""
    if newest is not None and damaged(newest):
        return _("The newest set is damaged, and has no other copy: %(what)s") % {"what": damage(newest)}
    last = _last_ended(plan)
    if last is not None and last.state in BAD_ENDS:
        return _("The last run is %(state)s: %(reason)s") % {
            "state": last.get_state_display(),
            "reason": last.message or _("no reason is known"),
        }
    if newest is None:
        return _("There is no set yet.")
    return _too_little(plan, newest, now)


def _too_little(plan: Plan, newest: Set, now: datetime) -> str:
    if newest.capped:
        return _("The newest set lacks something: %(reason)s") % {"reason": newest.level_reason}
    if not at_least(newest.level, plan.level):
        return _("The newest set is only %(level)s, not %(wanted)s: %(reason)s") % {
            "level": newest.get_level_display() or _("unverified"),
            "wanted": plan.get_level_display(),
            "reason": newest.level_reason or _("no reason is known"),
        }
    count = newest.copies.filter(state=Copy.State.COMPLETE).count()
    if not count:
        return _("The newest set has no copy that is complete and undamaged.")
    if count < plan.minimum_copies:
        return _("The newest set has %(count)d complete copies, and the plan asks for %(wanted)d.") % {
            "count": count, "wanted": plan.minimum_copies}  # fmt: skip
    if overdue(moment_of(newest), plan.target_age, now, plan.created_at):
        return _("The newest set is older than %(hours)d hours.") % {"hours": plan.target_age_hours}
    return ""


def newest_good(plan: Plan, within: int = 50) -> Set | None:
    """The newest set that reached the plan's level and lacks nothing, among the last ones."""
    sets: Iterable[Set] = _planned(plan).filter(capped=False).order_by("-started_at", "-pk")[:within]
    return next((one for one in sets if at_least(one.level, plan.level)), None)


def _last_ended(plan: Plan) -> Set | None:
    """The last run that ended by itself: one that somebody stopped tells nothing."""
    sets = runs_of(plan).filter(state__in=[Set.State.COMPLETE, *BAD_ENDS])
    last: Set | None = (
        sets.exclude(state=Set.State.COMPLETE, job__state__in=OPEN).order_by("-created_at", "-pk").first()
    )
    return last


def _last_run(plan: Plan) -> dict[str, Any] | None:
    last = runs_of(plan).order_by("-created_at", "-pk").first()
    if last is None:
        return None
    return {
        "state": last.state,
        "requested_at": last.created_at.isoformat(),
        "message": last.message,
    }
