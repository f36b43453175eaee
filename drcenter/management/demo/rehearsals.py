"""What was promised for the sample systems, what they check of themselves, and one drill of each."""

import time
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from backups.drills import drill as drills
from backups.models import Drill, DrillCheck, Set
from drcenter.errors import OperationFailed
from drcenter.management.demo.ground import ACTOR
from drcenter.systems.models import System, Target
from drcenter.systems.proposals import PROPOSALS

PATIENCE = 120.0
# The samples' own questions, by the name of a source that has to be there.
ROWS = {
    "sample-laravel": "SELECT count(*) FROM calls",
    "sample-shop": "SELECT count(*) FROM customers",
    "sample-clinic-records": "SELECT count(*) FROM visits",
    "sample-database": "SELECT count(*) FROM customers",
}


def prepare(system: System) -> None:
    """Targets and checks, once; what a visitor has changed stays."""
    if not system.targets.exists():
        for name, (rto, rpo) in PROPOSALS["classes"].targets.items():
            Target.objects.create(system=system, data_class=name, rto_minutes=rto, rpo_minutes=rpo)
    if system.drill_checks.exists():
        return
    for name, kind, options in _checks(system):
        DrillCheck.objects.create(system=system, name=name, kind=kind, options=options)


def _checks(system: System) -> list[tuple[str, str, dict[str, Any]]]:
    sources = set(system.sources.values_list("name", flat=True))
    found: list[tuple[str, str, dict[str, Any]]] = []
    if "database" in sources and system.slug in ROWS:
        rows = {"source": "database", "query": ROWS[system.slug], "comparison": "least", "expected": "1"}
        found.append((_("There are rows"), "sql", rows))
    if {"application", "database"} <= sources:
        made = {"source": "application", "directory": ".", "database": "database"}
        transcript = "SELECT transcript FROM calls WHERE transcript IS NOT NULL LIMIT 1"
        found.append((_("It boots, and reads what it encrypted"), "laravel", made | {"query": transcript}))
        found.append((_("It answers"), "http", made | {"path": "/", "text": "customers"}))
    return found


def request(done: Set) -> Drill:
    """Ask for a drill of a set; workers hold it. Raises OperationFailed."""
    copy = done.best_copy()
    if copy is None:
        raise OperationFailed(_("{set} has no complete copy.").format(set=done))
    return drills.request(copy, requested_by=ACTOR)


def wait_for(wanted: Drill, alive: Callable[[], None]) -> Drill:
    """The drill when it has passed. Raises OperationFailed with what it found."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        alive()
        now = Drill.objects.select_related("system").get(pk=wanted.pk)
        if now.outcome == Drill.Outcome.PASSED:
            return now
        if now.outcome != Drill.Outcome.OPEN:
            raise OperationFailed(f"{now}: {now.message}", now.hint)
        time.sleep(0.2)
    raise OperationFailed(_("{set} was not done within {n:.0f} s.").format(set=wanted, n=PATIENCE))
