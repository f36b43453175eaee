"""The facts behind a system's exposure, from the catalogue: what is held, what was measured, what was promised."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from backups import exposure
from backups.exposure import Exposure, Goal, Held, Measured, Stream
from backups.models import Copy, Drill, LogStream, Recovery, Set, Source
from drcenter.systems.models import System

# Of each source so many of its newest sets are looked at, to find one that can be used.
LOOKED_AT = 5
# And so many of the last drills and recoveries, to find one that measured every source of a class.
MEASURES = 20


def of_system(system: System, now: datetime) -> list[Exposure]:
    """Every class of a system, now."""
    sources = [_source(one) for one in system.sources.filter(enabled=True).order_by("pk")]
    return exposure.exposures(sources, measures(system), goals(system), now)


def goals(system: System) -> dict[str, Goal]:
    return {
        one.data_class: Goal(loss=one.rpo_minutes * 60, time=one.rto_minutes * 60)
        for one in system.targets.all()
    }


def _source(row: Source) -> exposure.Source:
    critical = frozenset(row.options.get("critical_tables") or ())
    return exposure.Source(row.name, row.tier, _held(row), critical, _streams(row))


def _held(row: Source) -> list[Held]:
    """The newest usable sets with this source, and the newest one that is whole."""
    sets = (
        Set.objects.complete()
        .filter(parts__source=row, capped=False, foreign=False, copies__state=Copy.State.COMPLETE)
        .exclude(reason__in=Set.ASIDE)
        .select_related("plan")
        .prefetch_related("copies", "needs__copies")
        .order_by("-moment", "-pk")
        .distinct()
    )
    found = {one.pk: one for each in (sets, sets.filter(partial="")) for one in each[:LOOKED_AT]}
    return [_as_held(one, row) for one in found.values() if all(map(_readable, one.needs.all()))]


def _readable(one: Set) -> bool:
    return any(copy.state == Copy.State.COMPLETE for copy in one.copies.all())


def _as_held(one: Set, row: Source) -> Held:
    copies = [copy.state for copy in one.copies.all() if copy.state != Copy.State.REMOVED]
    complete = copies.count(Copy.State.COMPLETE)
    wanted = max(len(copies), one.plan.minimum_copies if one.plan else 1)
    read = one.moments.get(row.name, {}).get("from")
    placed = bool(one.moments.get(row.name, {}).get("position"))
    moment = datetime.fromisoformat(read) if read else one.moment or one.started_at or one.created_at
    return Held(one.identifier, moment, one.level, frozenset(one.tables), complete, wanted, placed)


def _streams(row: Source) -> list[Stream]:
    """The unbroken stretch of its log that is stored. It counts from a set on that knows its place in the log, and
    that was taken since the log's present life, or the last hole in it, began."""
    stream = LogStream.objects.filter(source=row).first()
    if stream is None or stream.stored_until is None:
        return []
    began = stream.incarnations.order_by("-began_at").values_list("began_at", flat=True).first()
    since = max(filter(None, (stream.base_wanted_at, began)), default=stream.created_at)
    return [Stream(since, stream.stored_until)]


def measures(system: System) -> list[Measured]:
    """The last good drills, and the last real restores that went well."""
    drills = Drill.objects.passed().filter(system=system, machine_seconds__isnull=False)
    real = Recovery.objects.filter(
        copy__set__system=system, mode=Recovery.Mode.REAL, state=Recovery.State.SUCCEEDED,
        started_at__isnull=False, finished_at__isnull=False,
    )  # fmt: skip
    found = [of_drill(one) for one in drills.order_by("-finished_at")[:MEASURES]]
    newest = real.prefetch_related("sources").order_by("-finished_at")[:MEASURES]
    return [*filter(None, found), *filter(None, map(_of_recovery, newest))]


def of_drill(drill: Drill) -> Measured | None:
    """What a drill has measured; what is not of a single source counts for every class."""
    if drill.machine_seconds is None or drill.finished_at is None:
        return None
    each = {name: _seconds(one) for name, one in drill.sources.items()}
    besides = max(0.0, drill.machine_seconds - sum(each.values()))
    return Measured(drill.finished_at, each, besides, drill.waited_seconds or 0.0, name=str(drill.pk))


def _seconds(told: Mapping[str, Any]) -> float:
    return sum(float(told.get(f"{what}_seconds") or 0) for what in ("restore", "replay", "compare"))


def _of_recovery(row: Recovery) -> Measured | None:
    if row.started_at is None or row.finished_at is None:
        return None
    # Its seconds are not told by source: it took that long for all of them together.
    seconds = (row.finished_at - row.started_at).total_seconds()
    waited = max(0.0, (row.started_at - row.created_at).total_seconds())
    names = dict.fromkeys((one.name for one in row.sources.all()), 0.0)
    return Measured(row.finished_at, names, seconds, waited, drill=False, name=str(row.pk))


def achieved(drill: Drill) -> list[dict[str, Any]]:
    """What a drill has achieved for each class of which it had every source, beside what was promised."""
    measured, promised = of_drill(drill), goals(drill.system)
    began = drill.started_at or drill.created_at
    sources = list(drill.system.sources.filter(enabled=True))
    told = []
    for name, tiers in exposure.TIERS.items():
        names = [one.name for one in sources if tiers is None or one.tier in tiers]
        if measured is None or not names or not set(names) <= measured.sources.keys():
            continue
        goal = promised.get(name, Goal())
        told.append(
            {
                "class": name,
                "takes_seconds": round(measured.seconds(names), 2), "rto_seconds": goal.time,
                "lost_seconds": round(_lost(drill, names, began), 2), "rpo_seconds": goal.loss,
            }
        )  # fmt: skip
    return told


def _lost(drill: Drill, names: Iterable[str], began: datetime) -> float:
    moments = [datetime.fromisoformat(drill.sources[name]["moment"]) for name in names]
    return max(0.0, (began - min(moments)).total_seconds())
