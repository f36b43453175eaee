"""Sets of any age, with real objects at a real destination: what pruning has to work on."""

import io
import secrets
from datetime import timedelta

from django.utils import timezone

from backups.models import Copy, Destination, Part, Plan, Retention, Set
from backups.storage import layout

NAMES = ("parts/01-files-data.tar.zst", "details.json.zst", "checksums.txt", layout.MANIFEST)


def kept_set(plan: Plan, days: float, **fields) -> Set:
    """A proven set of `days` ago, with a copy and its objects at each of the plan's destinations."""
    moment = timezone.now() - timedelta(days=days)
    given = {
        "state": Set.State.COMPLETE, "level": "proven", "moment": moment, "started_at": moment,
        "finished_at": moment, "encrypted": False, "plain_size": 1000, "stored_size": 100,
        "identifier": f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}-a1",
    }  # fmt: skip
    one = Set.objects.create(system=plan.system, plan=plan, **given | fields)
    Part.objects.create(
        set=one, order=1, source_name="files", name="data", suffix="tar", engine="files", tier="storage",
        key=NAMES[0], plain_size=1000, stored_size=100,
    )  # fmt: skip
    for destination in plan.destinations.all():
        add_copy(one, destination)
    return one


def add_copy(one: Set, destination: Destination, **fields) -> Copy:
    store = destination.build()
    for name in NAMES:
        store.put(one.prefix + name, io.BytesIO(name.encode()))
    given = {"state": Copy.State.COMPLETE, "level": one.level} | fields
    return Copy.objects.create(set=one, destination=destination, **given)


def rules(plan: Plan, **numbers: int) -> Plan:
    plan.retention = Retention.objects.create(name=secrets.token_hex(4), **{"minimum": 1} | numbers)
    plan.save()
    return plan


def objects(destination: Destination) -> set[str]:
    """The identifiers of the sets of which anything is left there."""
    return {layout.locate(one.key).identifier for one in destination.build().list_versions("")}


def ages(plan: Plan) -> list[int]:
    """Days since each complete set was taken, in the catalogue."""
    now = timezone.now()
    return sorted((now - one.moment).days for one in plan.sets.complete())
