"""The DR Center's own database is a system like any other: protected from the first start, and missed when it is not."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import engines, own_keys
from backups.models import Destination, Plan, RecoveryKey, Set, Source
from backups.protect import free_slug
from backups.status import moment_of, newest_good
from backups.takes import take
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.systems.models import System

SLUG, NAME = "dr-center", "DR Center"
DATABASE, KEYS = "catalogue", "signing-key"
CRON = "20 * * * *"
TARGET_AGE_HOURS = 3


def ensure() -> None:
    """A tick: as soon as there is a place for it and a key to encrypt to, it is protected, and a first set is taken."""
    if not settings.PROTECT_SELF or source() is not None:
        return
    place = Destination.objects.filter(enabled=True).order_by("name").first()
    if place is None or not RecoveryKey.objects.filter(active=True).exists():
        return
    with transaction.atomic():
        if (moved := Source.objects.filter(system__slug=SLUG, name=DATABASE).first()) is not None:
            _move(moved)
            return
        plan = _create(place)
    try:
        take.request(plan, requested_by="system")
    except OperationFailed:
        return  # Its schedule asks again.


def source() -> Source | None:
    """The source of the panel's own database as it is here, whoever made it."""
    engine, options = own_keys.database_source()
    name, value = next(iter(options.items()))
    for one in Source.objects.filter(engine=engine).select_related("system"):
        if one.options.get(name) == value:
            return one
    return None


def _create(place: Destination) -> Plan:
    system = System.objects.create(
        slug=free_slug(SLUG), name=NAME, time_zone=settings.DISPLAY_TIME_ZONE,
        description="This installation: its catalogue, its trail, the key that signs the sets.",
    )  # fmt: skip
    plan = Plan.objects.create(
        system=system, name="hourly", cron=CRON, time_zone=system.time_zone, target_age_hours=TARGET_AGE_HOURS
    )
    plan.destinations.set([place])
    rows = []
    for name, tier, (engine, options) in (
        (DATABASE, "database", own_keys.database_source()),
        (KEYS, "configuration", own_keys.key_source()),
    ):
        form = engines.engines()[engine].Options
        rows.append(
            Source.objects.create(
                system=system, name=name, engine=engine, tier=tier, options=validated(form, options)
            )
        )
    plan.sources.set(rows)
    record("system", "backups.own.protected", system, destination=place.name)
    return plan


def _move(row: Source) -> None:
    """The catalogue came from another machine, or from another directory: its sources are here now."""
    found = {DATABASE: own_keys.database_source(), KEYS: own_keys.key_source()}
    for one in Source.objects.filter(system=row.system_id, name__in=found):
        engine, options = found[one.name]
        one.engine, one.options = engine, validated(engines.engines()[engine].Options, options)
        one.save()
    record("system", "backups.own.moved", row)


def fault(now: datetime | None = None) -> tuple[str, str] | None:
    """(what is wrong, what to do) with the protection of the panel's own database; None if nothing is."""
    if not settings.PROTECT_SELF:
        return None
    now, found = now or timezone.now(), source()
    if found is None:
        return _not_protected()
    plans = [plan for plan in found.taken_by() if plan.enabled and plan.cron]
    if not plans or not found.enabled:
        return (
            _("The DR Center's own database is in no plan that runs by itself."),
            _("Switch the plan of the system “%(system)s” on.") % {"system": found.system.name},
        )
    good = [one for plan in plans if (one := newest_good(plan)) is not None]
    return _age(good, plans, now)


def _not_protected() -> tuple[str, str]:
    what = _("The DR Center's own database is not protected.")
    if not Destination.objects.filter(enabled=True).exists():
        return what, _("It is as soon as there is a destination.")
    if not RecoveryKey.objects.filter(active=True).exists():
        return what, _("It is as soon as there is a recovery key: manage.py recovery-kit")
    return what, _("It is within a minute while manage.py run is running.")


def _age(good: list[Set], plans: list[Plan], now: datetime) -> tuple[str, str] | None:
    allowed = max(plan.target_age for plan in plans)
    newest = max((moment_of(one) for one in good), default=None)
    if newest is None and all(now - plan.created_at < timedelta(minutes=30) for plan in plans):
        return None
    if newest is None:
        return _("There is no good set of the DR Center's own database."), _("Look at the last one, why.")
    if now - newest > allowed:
        return _("The newest good set of the DR Center's own database is too old."), _(
            "Look at the last one, why."
        )
    return None
