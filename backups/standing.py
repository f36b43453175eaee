"""Where each system stands: its newest good set, how old that may be, what runs, what comes next."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from backups.models import Plan, Set
from backups.models.level import at_least
from backups.schedule import Cron, overdue
from backups.status import damaged, newest_settled
from drcenter.jobs.models import OPEN, Job
from drcenter.systems.models import System

UNDER_WAY = (Set.State.WAITING, Set.State.RUNNING)
BAD_ENDS = (Set.State.FAILED, Set.State.LOST)


@dataclass(frozen=True)
class PlanStanding:
    """One plan at one moment. `newest` is its newest set with a complete copy, `last` its newest try of any outcome."""

    plan: Plan
    now: datetime
    newest: Set | None
    last: Set | None

    @property
    def running(self) -> Set | None:
        return self.last if self.last is not None and self.last.state in UNDER_WAY else None

    @property
    def damaged(self) -> Set | None:
        """Its newest complete set, if no copy of it is good and one is damaged: it protects nothing."""
        one = newest_settled(self.plan)
        return one if one is not None and damaged(one) else None

    @property
    def moment(self) -> datetime | None:
        """What was committed before this moment would survive."""
        return None if self.newest is None else self.newest.moment or self.newest.started_at

    @property
    def age(self) -> timedelta | None:
        return None if self.moment is None else max(self.now - self.moment, timedelta(0))

    @property
    def overdue(self) -> bool:
        plan = self.plan
        return plan.enabled and overdue(self.moment, plan.target_age, self.now, plan.created_at)

    @property
    def share(self) -> int:
        """How much of the allowed age is used up, in percent, 100 at most."""
        return 100 if self.age is None else min(100, round(self.age / self.plan.target_age * 100))

    @property
    def failed(self) -> bool:
        """The newest try that ended went wrong."""
        return self.last is not None and self.last.state in BAD_ENDS

    @property
    def reached(self) -> bool:
        """The newest set is as good as the plan asks for."""
        newest = self.newest
        return newest is not None and not newest.capped and at_least(newest.level, self.plan.level)

    @property
    def proving(self) -> bool:
        """The proof that the plan asks for waits or runs: the newest set has had no chance yet."""
        from backups.models import Verification

        if self.newest is None or self.newest.capped or self.reached:
            return False
        under_way = (Verification.State.WAITING, Verification.State.RUNNING)
        return Verification.objects.filter(
            copy__set=self.newest, state__in=under_way, job__state__in=OPEN
        ).exists()

    @property
    def next_at(self) -> datetime | None:
        if not self.plan.enabled or not self.plan.cron:
            return None
        return Cron(self.plan.cron, self.plan.time_zone).after(self.now)


@dataclass(frozen=True)
class SystemStanding:
    """One system with all its plans, and its jobs that wait or run."""

    system: System
    plans: list[PlanStanding]
    jobs: list[Job]


def of_plan(plan: Plan, now: datetime) -> PlanStanding:
    # What was saved before a restore is none of the plan's own tries.
    sets = plan.sets.exclude(reason__in=Set.ASIDE).exclude(apart=True).select_related("job", "system")
    return PlanStanding(plan, now, plan.newest_good(), sets.order_by("-created_at", "-pk").first())


def of_system(system: System, now: datetime) -> SystemStanding:
    plans = [of_plan(plan, now) for plan in system.plans.select_related("system").order_by("name")]
    jobs = Job.objects.open().filter(pk__in=job_keys(system)).order_by("pk")
    return SystemStanding(system, plans, list(jobs))


def job_keys(system: System) -> list[int]:
    """Primary keys of the jobs of a system's newest sets, verifications and recoveries."""
    from backups.models import Recovery, Verification

    sets = Set.objects.filter(system=system, state__in=UNDER_WAY).values_list("job", flat=True)
    checks = Verification.objects.filter(
        copy__set__system=system,
        state__in=(Verification.State.WAITING, Verification.State.RUNNING),
    ).values_list("job", flat=True)
    restores = Recovery.objects.filter(
        copy__set__system=system, state__in=(Recovery.State.WAITING, Recovery.State.RUNNING)
    ).values_list("job", flat=True)
    return [key for keys in (sets, checks, restores) for key in keys if key is not None]
