"""`manage.py backup prune`, `thaw`: what retention does, from the shell."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils.translation import gettext as _

from backups.keep import freeze, pins, prune, retention_words, sweep
from backups.keep.keeping import Forecast, forecast
from backups.keep.retention import Decision
from backups.models import Destination, Freeze, Plan, Set
from backups.shell import cli
from drcenter import sizes
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.jobs.models import State
from drcenter.stored import shown

Act = Callable[[OutputWrapper, dict[str, Any]], int]


def add_arguments(act: Callable[[str, str], ArgumentParser]) -> None:
    pruning = act("prune", _("remove the sets that retention lets go"))
    pruning.add_argument("system", nargs="?", help=_("only the plans of this system"))
    pruning.add_argument("--profile", help=_("only this plan"))
    pruning.add_argument(
        "--dry-run", action="store_true", help=_("say what would go, and why; remove nothing")
    )
    pruning.add_argument("--json", action="store_true", help=_("with --dry-run: print JSON"))
    thawing = act("thaw", _("let removing go on after it stopped itself"))
    thawing.add_argument("system")
    thawing.add_argument("--profile", help=_("which plan, where there are several"))
    thawing.add_argument("--reason", required=True, help=_("why it may go on; the audit trail keeps it"))

    for name, text in (
        ("pin", _("keep a set, whatever the rules say")),
        ("unpin", _("let the rules decide again")),
    ):
        pinning = act(name, text)
        pinning.add_argument("set", help=_("SYSTEM/SET"))
        pinning.add_argument("--reason", required=True, help=_("why; the audit trail keeps it"))

    sweeping = act("sweep", _("find what broken-off runs left at destinations, and remove it"))
    sweeping.add_argument("destination", nargs="?", help=_("only there"))
    sweeping.add_argument("--yes", action="store_true", help=_("remove what the list shows as leftovers"))


def plans_of(options: dict[str, Any]) -> list[Plan]:
    if options["system"] and options["profile"]:
        return [cli.plan_of(cli.system_named(options["system"]), options["profile"])]
    plans = Plan.objects.select_related("system", "retention")
    if options["system"]:
        plans = plans.filter(system=cli.system_named(options["system"]))
    return list(plans)


def prune_plans(out: OutputWrapper, options: dict[str, Any]) -> int:
    plans = plans_of(options)
    if not plans:
        out.write(_("Nothing is protected yet: manage.py protect PATH_OR_URL"))
    if options["dry_run"]:
        return _preview(out, plans, as_json=options["json"])
    codes = [_prune(out, plan) for plan in plans]
    return max(codes, key=(cli.FINE, cli.NEEDS_ATTENTION, cli.FAILED).index, default=cli.FINE)


def _prune(out: OutputWrapper, plan: Plan) -> int:
    frozen = Freeze.objects.stopping(plan).first()
    if frozen is None:
        with kept_here():
            job = prune.request(plan, requested_by=cli.actor())
        job = run_here(job, sys.stdout, cli.actor())
        if job.state == State.SUCCEEDED:
            out.write(_("%(plan)s: done") % {"plan": plan})
            return cli.FINE
        out.write(f"{plan}: {shown(job.message)} {shown(job.hint)}".strip())
        frozen = Freeze.objects.stopping(plan).first()
        if frozen is None:
            return cli.FAILED
    out.write(
        _("%(plan)s is frozen: %(why)s") % {"plan": plan, "why": retention_words.doubts(frozen.reasons)}
    )
    slug, name = plan.system.slug, plan.name
    out.write(
        _("Look: %(command)s") % {"command": f'manage.py backup prune {slug} --profile "{name}" --dry-run'}
    )
    out.write(
        _("Go on: %(command)s") % {"command": f'manage.py backup thaw {slug} --profile "{name}" --reason …'}
    )
    return cli.NEEDS_ATTENTION


def _preview(out: OutputWrapper, plans: list[Plan], *, as_json: bool) -> int:
    found = [forecast(plan) for plan in plans]
    if as_json:
        out.write(json.dumps([_as_json(one) for one in found], indent=2))
    for one in [] if as_json else found:
        _print(out, one)
    return cli.NEEDS_ATTENTION if any(one.stopped for one in found) else cli.FINE


def _print(out: OutputWrapper, found: Forecast) -> None:
    kept = len(found.decisions) - len(found.leaving)
    counts = {"plan": found.plan, "kept": kept, "gone": len(found.leaving)}
    out.write(_("%(plan)s: %(kept)d stay, %(gone)d go") % counts)
    for text in _standing_still(found):
        out.write(_("  frozen: %(why)s") % {"why": text})
    names = _names(found)
    for one in found.decisions:
        out.write(
            f"  {_('keep') if one.keep else _('remove')}  {names[one.id]}  {retention_words.reasons(one)}"
        )


def _standing_still(found: Forecast) -> list[str]:
    """Why nothing goes, or would not."""
    freezes = [retention_words.doubts(one.reasons) for one in found.freezes]
    return (
        ([found.waits] if found.waits else [])
        or freezes
        or [retention_words.doubt(one) for one in retention_words.stored(found.doubts)]
    )


def _names(found: Forecast) -> dict[int, str]:
    sets = Set.objects.filter(plan=found.plan).select_related("system").only("identifier", "system__slug")
    return {one.pk: str(one) for one in sets}


def _as_json(found: Forecast) -> dict[str, Any]:
    names = _names(found)

    def row(one: Decision) -> dict[str, Any]:
        reasons = [{"why": reason.why.value, "what": reason.what} for reason in one.reasons]
        return {"set": names[one.id], "keep": one.keep, "reasons": reasons}

    return {
        "system": found.plan.system.slug,
        "plan": found.plan.name,
        "frozen": _standing_still(found),
        "sets": [row(one) for one in found.decisions],
    }


def thaw(out: OutputWrapper, options: dict[str, Any]) -> int:
    plan = cli.plan_of(cli.system_named(options["system"]), options["profile"])
    frozen = list(Freeze.objects.stopping(plan))
    if not frozen:
        out.write(_("%(plan)s is not frozen.") % {"plan": plan})
        return cli.FINE
    seen = forecast(plan)
    for one in frozen:
        freeze.thaw(one, reason=options["reason"], actor=cli.actor(), seen=seen if one.plan_id else None)
        out.write(_("It goes on: %(what)s") % {"what": one})
    return cli.FINE


def pin(out: OutputWrapper, options: dict[str, Any]) -> int:
    made = pins.pin(_set(options), reason=options["reason"], actor=cli.actor())
    out.write(_("%(set)s stays: %(reason)s") % {"set": made.set, "reason": made.reason})
    return cli.FINE


def unpin(out: OutputWrapper, options: dict[str, Any]) -> int:
    ended = pins.release(_set(options), reason=options["reason"], actor=cli.actor())
    out.write(_("%(set)s is kept by the rules alone.") % {"set": ended.set})
    return cli.FINE


def _set(options: dict[str, Any]) -> Set:
    """A set by its own name: the newest of a system is another one tomorrow."""
    one = cli.set_named(options["set"])
    if one.identifier != options["set"].rpartition("/")[2]:
        raise cli.usage(_("Name the set itself: %(set)s is the newest one now.") % {"set": one})
    return one


def sweep_places(out: OutputWrapper, options: dict[str, Any]) -> int:
    places = Destination.objects.filter(enabled=True)
    if options["destination"]:
        places = Destination.objects.filter(name=options["destination"])
        if not places:
            known = cli.listed(Destination.objects.values_list("name", flat=True), _("none"))
            raise cli.usage(_("There is no such destination. There are: %(known)s") % {"known": known})
    codes = [_sweep(out, place, remove=options["yes"]) for place in places]
    return max(codes, key=(cli.FINE, cli.NEEDS_ATTENTION, cli.FAILED).index, default=cli.FINE)


def _sweep(out: OutputWrapper, place: Destination, *, remove: bool) -> int:
    """The list comes first, also when it is removed then."""
    found = sweep.look(place)
    going = [row for row in found if not row.kept_because]
    out.write(_("%(place)s: %(count)d leftovers") % {"place": place, "count": len(going)})
    for row in found:
        what = _("stays: %(why)s") % {"why": _(row.kept_because)} if row.kept_because else _("leftover")
        size = sizes.size(row.size)
        out.write(f"  {row.prefix}  {row.objects_count}  {size}  {row.newest_at:%Y-%m-%d %H:%MZ}  {what}")
    if not going or not remove:
        if going:
            out.write(_("Nothing was removed. With --yes the leftovers are."))
        return cli.NEEDS_ATTENTION if going else cli.FINE
    with kept_here():
        job = sweep.request(place, requested_by=cli.actor())
    job = run_here(job, sys.stdout, cli.actor())
    if job.state != State.SUCCEEDED:
        out.write(f"{shown(job.message)} {shown(job.hint)}".strip())
    return cli.FINE if job.state == State.SUCCEEDED else cli.FAILED


ACTS: dict[str, Act] = {"prune": prune_plans, "thaw": thaw, "pin": pin, "unpin": unpin, "sweep": sweep_places}
