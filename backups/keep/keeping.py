"""What becomes of the sets of a plan, and whether anything may be removed at all: asked, never done."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.keep.doubts import Found, Picture, doubts
from backups.keep.retention import Decision, Item, Rules, decide
from backups.models import Copy, Freeze, Plan, Rebuild, Recovery, Set, Verification
from backups.models.level import RANK
from backups.schedule import Cron, due
from drcenter.jobs.models import OPEN

UNFINISHED = (Set.State.WAITING, Set.State.RUNNING)


@dataclass(frozen=True)
class Forecast:
    """What pruning the plan now would do. While there are `doubts` or `freezes`, it does nothing of it."""

    plan: Plan
    now: datetime
    items: Mapping[int, Item]
    decisions: list[Decision]
    doubts: list[Found] = field(default_factory=list)
    freezes: list[Freeze] = field(default_factory=list)
    # What a person has to confirm first, in a sentence: the catalogue was rebuilt.
    waits: str = ""

    @cached_property
    def by_set(self) -> dict[int, Decision]:
        """The decisions by primary key of the set."""
        return {one.id: one for one in self.decisions}

    @property
    def leaving(self) -> list[int]:
        """Primary keys of the sets that would go; what needs another one goes before it."""
        return [one.id for one in self.decisions if not one.keep]

    @property
    def digest(self) -> str:
        """Of what would go: a person who agrees to it has seen exactly this."""
        return hashlib.sha256(repr(sorted(self.leaving)).encode()).hexdigest()[:32]

    @property
    def stopped(self) -> bool:
        return bool(self.doubts or self.freezes or self.waits)


def forecast(
    plan: Plan, now: datetime | None = None, listed: Mapping[str, tuple[int, int]] | None = None
) -> Forecast:
    """`listed`: destination -> (complete sets of the plan that it lists, that the catalogue has there)."""
    now = now or timezone.now()
    items = items_of(plan)
    rules = plan.retention.rules if plan.retention else Rules()
    decisions = decide(items, rules, now, plan.time_zone)
    picture = Picture(now, plan.pruned_at, _missed(plan, items, now), RANK[plan.level], listed or {})
    freezes = list(Freeze.objects.stopping(plan).select_related("plan__system", "destination"))
    return Forecast(
        plan, now, {item.id: item for item in items}, decisions, doubts(items, decisions, picture), freezes,
        Rebuild.objects.waits(),
    )  # fmt: skip


def sets_of(plan: Plan) -> QuerySet[Set]:
    """Its sets that are there, or are being made; none of another DR Center."""
    return plan.sets.ours().filter(state__in=[Set.State.COMPLETE, *UNFINISHED])


def items_of(plan: Plan) -> list[Item]:
    """All in a handful of queries, however many sets there are."""
    sets = sets_of(plan)
    usable = set(
        sets.filter(state=Set.State.COMPLETE, copies__state=Copy.State.COMPLETE).values_list("pk", flat=True)
    )
    pins = dict(sets.filter(pins__released_at=None, pins__isnull=False).values_list("pk", "pins__reason"))
    busy, needs = _busy(sets), _needs(sets)
    columns = ("pk", "moment", "started_at", "created_at", "level", "capped", "apart", "reason", "plain_size")
    return [
        Item(
            pk, _counts_from(reason, moment) or started_at or created_at, RANK[level], level, pk in usable, capped or apart,
            reason in Set.ASIDE, pins.get(pk, ""), busy.get(pk, ""), needs.get(pk, frozenset()), size,
        )
        for pk, moment, started_at, created_at, level, capped, apart, reason, size in sets.values_list(*columns)
    ]  # fmt: skip


def _counts_from(reason: str, moment: datetime | None) -> datetime | None:
    """A set that was made of a moment long over is as old as it was made, or it would go at once."""
    return None if reason == Set.Reason.MOMENT else moment


def _needs(sets: QuerySet[Set]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for pk, need in Set.needs.through.objects.filter(from_set__in=sets).values_list("from_set", "to_set"):
        found.setdefault(pk, set()).add(need)
    return {pk: frozenset(some) for pk, some in found.items()}


def _busy(sets: QuerySet[Set]) -> dict[int, str]:
    """Why a set must not be touched now."""
    found: dict[int, str] = {}
    for words, query in _acts(sets):
        found |= dict.fromkeys(query, words)
    return found


def _acts(sets: QuerySet[Set]) -> Iterable[tuple[str, Iterable[int]]]:
    checks = Verification.objects.filter(
        state__in=[Verification.State.WAITING, Verification.State.RUNNING], copy__set__in=sets
    )
    restores = Recovery.objects.filter(state__in=[Recovery.State.WAITING, Recovery.State.RUNNING])
    # Whoever restores from a set of a chain reads the sets before it: those stay as long as it does.
    yield _("is being verified"), checks.values_list("copy__set", flat=True)
    yield _("is being restored"), restores.filter(copy__set__in=sets).values_list("copy__set", flat=True)
    yield (
        _("the way back of a restore"),
        restores.filter(safety_set__in=sets).values_list("safety_set", flat=True),
    )
    writing = sets.filter(copies__state=Copy.State.WRITING) | sets.filter(state__in=UNFINISHED)
    yield _("is being written"), writing.values_list("pk", flat=True)
    elsewhere = Set.needs.through.objects.filter(to_set__in=sets, from_set__state=Set.State.COMPLETE)
    elsewhere = elsewhere.exclude(from_set__in=sets)
    yield _("a set of another plan needs it"), elsewhere.values_list("to_set", flat=True)
    yield _("is at work"), sets.filter(job__state__in=OPEN).values_list("pk", flat=True)


def _missed(plan: Plan, items: Iterable[Item], now: datetime) -> int:
    """Planned times since the newest set; 0 for a plan that has none."""
    newest = max((item.moment for item in items), default=None)
    if newest is None or not plan.cron or not plan.enabled:
        return 0
    found = due(Cron(plan.cron, plan.time_zone), newest, now)
    return found.missed if found else 0
