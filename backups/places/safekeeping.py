"""Whether the rule of three copies, two kinds, one away, one locked holds for a system, and what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.models import Copy, Destination, Plan, Set
from backups.models.plan import Medium
from backups.places.rule import Kept, Lack, lacks
from drcenter.systems.models import System

# What a kind of destination is on, where its row does not say.
MEDIA = {"local": Medium.DISK, "sftp": Medium.SERVER}


@dataclass(frozen=True)
class Safekeeping:
    """`missing`: a sentence for each thing that is missing; none where the rule holds."""

    missing: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.missing


def of_system(system: System, now: datetime | None = None) -> Safekeeping:
    """Of the newest set of every plan that is switched on: the rule holds when it holds for each."""
    now, missing = now or timezone.now(), dict[str, None]()
    plans = [plan for plan in system.plans.all() if plan.enabled]
    for plan in plans:
        for sentence in _of_plan(plan, now):
            missing[f"{plan.name}: {sentence}" if len(plans) > 1 else sentence] = None
    if not plans:
        missing[_("No plan is switched on.")] = None
    return Safekeeping(tuple(missing))


def medium_of(destination: Destination) -> str:
    return destination.medium or MEDIA.get(destination.kind, Medium.STORE)


def _of_plan(plan: Plan, now: datetime) -> Iterator[str]:
    newest = _newest(plan)
    if newest is None:
        yield _("There is no set yet.")
        return
    copies = [copy for copy in newest.copies.all() if copy.state == Copy.State.COMPLETE]
    kept = [
        Kept(medium_of(copy.destination), copy.destination.off_site, _locked(copy, now)) for copy in copies
    ]
    for lack in lacks(kept):
        yield _sentence(lack, len(copies), plan)


def _newest(plan: Plan) -> Set | None:
    sets = plan.sets.complete().exclude(reason__in=Set.ASIDE).order_by("-started_at", "-pk")
    copies = Copy.objects.select_related("destination").prefetch_related("lock")
    newest: Set | None = sets.prefetch_related(Prefetch("copies", copies)).first()
    return newest


def _locked(copy: Copy, now: datetime) -> bool:
    """As it was read back from the store, and still for a while."""
    lock = getattr(copy, "lock", None)
    return lock is not None and lock.holds(now)


def _sentence(lack: Lack, count: int, plan: Plan) -> str:
    if lack is Lack.COPIES:
        return _copies(count, plan)
    return {
        Lack.KINDS: _(
            "The copy is on the same kind of medium as the original: add another kind, an object store."
        ),
        Lack.AWAY: _("No copy is away from this site: add a destination elsewhere, or say so on its page."),
        Lack.LOCKED: _("No copy is locked: whoever gets the credentials can delete them all."),
    }[lack]


def _copies(count: int, plan: Plan) -> str:
    """With the original: one copy less than the rule asks for, or two."""
    places = plan.destinations.filter(enabled=True).count()
    what = ngettext(
        "With the original there is %(count)d copy, not three.",
        "With the original there are %(count)d copies, not three.",
        count + 1,
    ) % {"count": count + 1}
    if places >= 2:
        return f"{what} " + _("One of the plan's destinations has none: look at the set.")
    return f"{what} " + _("Add a destination to the plan.")
