"""Which plan takes a profile of a system; and one that is asked for by hand, where there is none."""

from django.db import transaction
from django.utils.translation import gettext as _

from backups.models import Destination, Plan, Profile
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.systems.models import System


def plan_for(system: System, profile: Profile, *, requested_by: str) -> Plan:
    """The plan of `system` with this profile. Without any, a new one that runs by hand only, to where the system's
    other plans keep their sets. Raises OperationFailed when the system has no source of the profile's tiers."""
    if not system.sources.filter(enabled=True, tier__in=profile.tiers).exists():
        raise OperationFailed(
            _("%(system)s has no source of the profile %(profile)s.") % {"system": system.slug, "profile": profile},
            _("See what is missing, and how to add it: manage.py backup estimate %(system)s --profile %(profile)s")
            % {"system": system.slug, "profile": profile.slug}, permanent=True,
        )  # fmt: skip
    known = system.plans.filter(profile=profile).order_by("-enabled", "pk").first()
    return known if known is not None else _by_hand(system, profile, requested_by)


def _by_hand(system: System, profile: Profile, requested_by: str) -> Plan:
    like = system.plans.order_by("-enabled", "pk").first()
    places = like.destinations.all() if like else Destination.objects.filter(enabled=True)
    with transaction.atomic():
        plan = Plan.objects.create(
            system=system, name=free_name(system, profile.slug), profile=profile, cron="", time_zone=system.time_zone,
            encrypt=like is None or like.encrypt, target_age_hours=HOURS_BY_HAND,
        )  # fmt: skip
        plan.destinations.set(places)
        record(requested_by, "backups.plan.added", plan, profile=profile.slug, reason="asked for by hand")
    return plan


# Nobody waits for a set that is taken by hand: a year.
HOURS_BY_HAND = 366 * 24


def free_name(system: System, wanted: str) -> str:
    """`wanted`, or with a number behind it: no other plan of the system is called so."""
    taken = set(system.plans.values_list("name", flat=True))
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
