"""Rows for tests of plans: nothing of this touches a store."""

from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from backups.models import Copy, Destination, Level, Plan, Set, Source
from drcenter.systems.models import System


def make_plan(folder: Path, slug: str = "shop", **fields) -> Plan:
    """A plan with one source of files and one local destination, below `folder`."""
    system, _ = System.objects.get_or_create(slug=slug, defaults={"name": slug.title()})
    (folder / "data").mkdir(exist_ok=True)
    (folder / "store").mkdir(exist_ok=True)
    source, _ = Source.objects.get_or_create(
        system=system, name="files",
        defaults={"engine": "files", "tier": "storage", "options": {"directory": str(folder / "data")}},
    )  # fmt: skip
    destination, _ = Destination.objects.get_or_create(
        name="here", defaults={"kind": "local", "options": {"directory": str(folder / "store")}}
    )
    plan = Plan.objects.create(system=system, encrypt=False, **{"name": "daily", "time_zone": "UTC"} | fields)
    plan.sources.add(source)
    plan.destinations.add(destination)
    return plan


def make_set(plan: Plan, hours: float = 1, **fields) -> Set:
    """A good set of `plan`, taken `hours` ago, with one copy."""
    moment = timezone.now() - timedelta(hours=hours)
    given = {
        "state": Set.State.COMPLETE, "level": plan.level, "identifier": f"set-{Set.objects.count()}",
        "moment": moment, "started_at": moment, "finished_at": moment, "encrypted": False,
    }  # fmt: skip
    one = Set.objects.create(system=plan.system, plan=plan, **given | fields)
    Copy.objects.create(
        set=one, destination=plan.destinations.get(), state=Copy.State.COMPLETE, level=Level.INTACT
    )
    return one
