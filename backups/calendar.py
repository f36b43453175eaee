"""The usual calendar of a system, as plans: which profile when, how old its sets may become, how long they stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import Destination, Level, Plan, Profile, Source, Tier
from backups.models.plan import Retention, standard_retention
from backups.models.profile import EXTERNAL_ONLY
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

CRITICAL = "critical-tables"
# What changes often is kept for two weeks.
SHORT = ("14 days", {"days": 14})


@dataclass(frozen=True)
class Entry:
    """One plan of the calendar. `hours`: the oldest allowed age, a run and a half. `short`: kept for 14 days.

    No two begin at the same minute of a day: jobs of one system wait for each other.
    """

    name: str
    profile: str
    cron: str
    hours: int
    label: Any
    level: Level = Level.PROVEN
    short: bool = False


CALENDAR = (
    Entry("daily", "golden", "0 2 * * *", 26, gettext_lazy("every day at 02:00")),
    Entry(CRITICAL, "", "0 */6 * * *", 9, gettext_lazy("every 6 hours"), short=True),
    # What a command exports can be intact at most.
    Entry(
        "external",
        EXTERNAL_ONLY,
        "*/30 * * * *",
        1,
        gettext_lazy("every 30 minutes"),
        Level.INTACT,
        short=True,
    ),
    Entry("weekly", "comprehensive", "0 3 * * 0", 8 * 24, gettext_lazy("Sundays at 03:00")),
    Entry("monthly", "ultimate", "0 4 1 * *", 32 * 24, gettext_lazy("on the first of each month at 04:00")),
    Entry(
        "quarterly",
        "ultimate",
        "0 5 1 1,4,7,10 *",
        93 * 24,
        gettext_lazy("on the first of each quarter at 05:00"),
    ),
)


@dataclass(frozen=True)
class Foreseen:
    """What the calendar does about one entry. `obstacle`: why there will be no plan; `there`: there is one already."""

    entry: Entry
    sources: tuple[Source, ...]
    tables: tuple[str, ...] = ()
    there: bool = False
    obstacle: str = ""

    @property
    def is_new(self) -> bool:
        return not self.there and not self.obstacle


def foresee(system: System, tables: Sequence[str] = ()) -> list[Foreseen]:
    """Every entry of the calendar, and what `set_up` would do about it. `tables`: the critical ones; without any,
    those that the sources name as critical."""
    names = set(system.plans.values_list("name", flat=True))
    return [_foreseen(system, entry, entry.name in names, tables) for entry in CALENDAR]


def _foreseen(system: System, entry: Entry, there: bool, tables: Sequence[str]) -> Foreseen:
    if entry.name == CRITICAL:
        return _critical(system, entry, there, tables)
    profile = Profile.objects.get(slug=entry.profile)
    sources = tuple(system.sources.filter(enabled=True, tier__in=profile.tiers).order_by("pk"))
    obstacle = (
        ""
        if sources
        else _("The system has no source of the profile %(profile)s yet.") % {"profile": profile}
    )
    return Foreseen(entry, sources, there=there, obstacle="" if there else obstacle)


def _critical(system: System, entry: Entry, there: bool, tables: Sequence[str]) -> Foreseen:
    """Only databases that know what a table is, and only where somebody has said which tables are critical."""
    databases = [
        source
        for source in system.sources.filter(enabled=True, tier=Tier.DATABASE).order_by("pk")
        if source.build().by_table
    ]
    named = [name for source in databases for name in source.options.get("critical_tables") or ()]
    wanted = tuple(dict.fromkeys([*tables] or named))
    obstacle = ""
    if not databases:
        obstacle = _("The system has no database whose tables can be taken alone.")
    elif not wanted:
        obstacle = _("No critical tables are named: name them in the sources of the databases, or here.")
    return Foreseen(entry, tuple(databases), wanted, there, "" if there else obstacle)


def set_up(system: System, *, requested_by: str, tables: Sequence[str] = ()) -> list[Plan]:
    """Add the plans that are missing; those that are there stay as they are. Asked for again it adds nothing.

    They keep their sets where the system's plans do, or at every enabled destination. Raises OperationFailed when
    there is no destination.
    """
    like = system.plans.order_by("-enabled", "pk").first()
    places = list(like.destinations.all() if like else Destination.objects.filter(enabled=True))
    if not places:
        raise OperationFailed(
            _("There is no destination that is enabled."),
            _("Add one, or choose one in a plan."),
            permanent=True,
        )
    with transaction.atomic():
        # Locked: asked for twice at the same time, the second sees the plans of the first.
        System.objects.select_for_update().get(pk=system.pk)
        plans = [_plan(system, one, places, like) for one in foresee(system, tables) if one.is_new]
        record(requested_by, "backups.calendar.set_up", system, plans=[plan.name for plan in plans])
    return plans


def _plan(system: System, one: Foreseen, places: Sequence[Destination], like: Plan | None) -> Plan:
    entry = one.entry
    plan = Plan.objects.create(
        system=system, name=entry.name, profile=Profile.objects.filter(slug=entry.profile).first(), cron=entry.cron,
        time_zone=system.time_zone, target_age_hours=entry.hours, level=entry.level,
        encrypt=like is None or like.encrypt, retention=_retention(entry), tables=list(one.tables),
    )  # fmt: skip
    plan.destinations.set(places)
    if not entry.profile:
        plan.sources.set(one.sources)
    return plan


def _retention(entry: Entry) -> Retention | None:
    if not entry.short:
        standard = standard_retention()
        return None if standard is None else Retention.objects.get(pk=standard)
    name, rules = SHORT
    return Retention.objects.get_or_create(name=name, defaults=rules)[0]


def told(one: Foreseen) -> str:
    """A sentence about one entry, for the panel and the shell."""
    names = {
        "name": one.entry.name, "when": one.entry.label, "sources": ", ".join(source.name for source in one.sources),
        "why": one.obstacle, "tables": ", ".join(one.tables),
    }  # fmt: skip
    if one.there:
        return _("%(name)s: there is a plan of this name already; it stays as it is.") % names
    if one.obstacle:
        return _("%(name)s (%(when)s): left out. %(why)s") % names
    if one.tables:
        return _("%(name)s, %(when)s: %(tables)s of %(sources)s.") % names
    return _("%(name)s, %(when)s: %(sources)s.") % names
