"""How long a restore takes, as it was last measured: by a real one, or by the restore that proved a set."""

from dataclasses import dataclass
from datetime import datetime

from backups.models import Drill, Level, Recovery, Verification
from drcenter.systems.models import System


@dataclass(frozen=True)
class Measured:
    """`seconds` from the first byte to the last comparison; `rehearsed`: into a scratch place, not for real."""

    seconds: float
    at: datetime
    rehearsed: bool
    drill: bool = False


def of_system(system: System) -> Measured | None:
    """The newest measure of a whole restore of `system`; None when there is none."""
    found = [one for one in (_real(system), _rehearsed(system), _drilled(system)) if one is not None]
    return max(found, key=lambda one: one.at, default=None)


def _real(system: System) -> Measured | None:
    """Of every source: one of a single table says nothing about the night on which all is gone."""
    whole = Recovery.objects.filter(
        copy__set__system=system, state=Recovery.State.SUCCEEDED, sources=None, finished_at__isnull=False
    )
    row = whole.order_by("-finished_at").first()
    if row is None or row.started_at is None or row.finished_at is None:
        return None
    return Measured((row.finished_at - row.started_at).total_seconds(), row.finished_at, rehearsed=False)


def _drilled(system: System) -> Measured | None:
    """The last good drill: into scratch places, with the system's own checks."""
    drill = (
        Drill.objects.passed()
        .filter(system=system, machine_seconds__isnull=False)
        .order_by("-finished_at")
        .first()
    )
    if drill is None or drill.finished_at is None:
        return None
    return Measured(drill.machine_seconds or 0.0, drill.finished_at, rehearsed=True, drill=True)


def _rehearsed(system: System) -> Measured | None:
    proofs = Verification.objects.filter(
        copy__set__system=system, reached=Level.PROVEN, finished_at__isnull=False
    ).order_by("-finished_at")
    for proof in proofs[:10]:
        told = [one for one in (proof.facts or {}).values() if isinstance(one, dict)]
        # An increment is proven alone; its time is not that of a restore.
        if told and not any("since" in one for one in told) and proof.finished_at is not None:
            seconds = sum(one.get("restore_seconds", 0) + one.get("compare_seconds", 0) for one in told)
            return Measured(seconds, proof.finished_at, rehearsed=True)
    return None
