"""What is checked before a run: tools, credentials, findings, space; and afterwards, plausibility of the size."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from backups.destinations.base import Space
from backups.engines.base import Engine, Finding, Inspection
from backups.models import Plan, Set, Source
from backups.takes.tables import Chosen
from drcenter.errors import OperationFailed
from drcenter.process import find

WARN_ABOVE = 0.85
# Without any earlier set to learn from: what zstd usually makes of a dump.
PACKED = 0.5
# A set this much smaller than the usual one is suspicious.
COLLAPSED = 0.5


@dataclass(frozen=True)
class Looked:
    """A source, its engine, and what inspecting it found."""

    source: Source
    engine: Engine
    inspection: Inspection
    # Only these tables of it; none: all; None: as its options say.
    tables: Sequence[str] | None = None


def look(sources: Sequence[Source | Chosen]) -> list[Looked]:
    """Inspect every source, narrowed to its chosen tables. Raises OperationFailed that names the source, for the first that cannot be read."""
    if not sources:
        raise OperationFailed(
            "The plan has no source that is enabled.", "Choose its sources in the panel.", permanent=True
        )
    return [_look(one if isinstance(one, Chosen) else Chosen(one)) for one in sources]


def _look(chosen: Chosen) -> Looked:
    source = chosen.source
    try:
        engine = chosen.build()
        for tool in engine.required_tools:
            find(tool)
        return Looked(source, engine, engine.inspect(), chosen.tables)
    except OperationFailed as error:
        raise OperationFailed(f"{source}: {error.message}", error.hint, permanent=error.permanent) from error


def estimate(plan: Plan, looked: Sequence[Looked]) -> int:
    """Bytes that the set will take in storage."""
    return packed(sum(one.inspection.size for one in looked), plan)


def packed(plain: int, plan: Plan | None) -> int:
    """Bytes in storage: the plain size, times what the plan's last set that is complete in itself was packed to."""
    earlier = None
    if plan is not None:
        whole = plan.sets.complete().filter(needs=None, apart=False).exclude(reason__in=Set.ASIDE)
        earlier = whole.order_by("-started_at", "-pk").first()
    ratio = earlier.stored_size / earlier.plain_size if earlier and earlier.plain_size else PACKED
    return int(plain * min(1.1, ratio * 1.1))


def check_space(space: Space, needed: int, target: str) -> list[Finding]:
    """Raises OperationFailed when `needed` bytes do not fit; a finding when it would be fuller than 85 %."""
    if space.total is None or space.free is None or not space.total:
        return []
    if needed > space.free:
        raise OperationFailed(
            f"{target} has {space.free:,} bytes free, the set needs about {needed:,}.",
            "Free some space there, or add a destination to the plan.",
        )
    filled = 1 - (space.free - needed) / space.total
    if filled <= WARN_ABOVE:
        return []
    return [
        Finding(
            f"{target} will be {filled:.0%} full after this set.", "Free some space before it refuses sets."
        )
    ]


def check_size(taken: Set) -> list[Finding]:
    """A finding when the set is far smaller than the plan's last ones: the source may have lost its data."""
    # A safety set holds only what a restore was about to overwrite.
    earlier = Set.objects.complete().filter(plan=taken.plan).exclude(pk=taken.pk).order_by("-id")
    earlier = earlier.exclude(reason__in=Set.ASIDE).exclude(apart=True)
    sizes = list(earlier.values_list("plain_size", flat=True)[:5])
    usual = median(sizes) if len(sizes) >= 2 else 0
    if taken.reason in Set.ASIDE or taken.apart or not usual or taken.plain_size >= usual * COLLAPSED:
        return []
    return [
        Finding(
            f"The set has {taken.plain_size:,} bytes; the last {len(sizes)} had {int(usual):,} in the middle.",
            "Look whether the source has lost data before older sets are pruned.",
        )
    ]
