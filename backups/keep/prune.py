"""Removes the sets that retention lets go, copy by copy.

The manifest of a copy goes first: what is half removed is no set any more, whoever looks at the storage. Then the rest,
every version of it; the catalogue says *removed* only when the store lists nothing any more. Wherever this dies, the
next run goes on with what is *being removed*.
"""

from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import F, Max, Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import NotThere, Role, Stored
from backups.keep import freeze, retention_words
from backups.keep.erase import erase
from backups.keep.keeping import Forecast, forecast
from backups.models import Copy, Destination, Freeze, Plan, Rebuild, Recovery, Set, Verification
from backups.places import locking
from backups.storage import layout
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job, State
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.prune"
# A tick asks for a plan again after a new set, but not more often than this; and once a day in any case.
SOONEST, LATEST = timedelta(hours=1), timedelta(days=1)
# After this long the picture is looked at again.
FRESH = timedelta(minutes=1)
PRESENT = (Copy.State.COMPLETE, Copy.State.DAMAGED)


def request(plan: Plan, *, requested_by: str) -> Job:
    """Ask for the sets of `plan` that retention lets go to be removed.

    It works on the system as a take does: no backup begins that would build upon a set which is about to go.
    Raises OperationFailed while the plan is frozen.
    """
    frozen = Freeze.objects.stopping(plan).first()
    if frozen is not None:
        raise OperationFailed(
            _("Nothing of this plan is removed: %(why)s") % {"why": retention_words.doubts(frozen.reasons)},
            _("Look at the preview, and end the freeze there."),
            permanent=True,
        )
    if waits := Rebuild.objects.waits():
        raise OperationFailed(waits, _("Confirm the rebuild first."), permanent=True)
    with transaction.atomic():
        with in_english():
            title = _("Prune %(plan)s") % {"plan": plan}
        job = enqueue(
            KIND, plan.pk, target=f"system:{plan.system_id}", title=title, requested_by=requested_by
        )
        record(requested_by, "backups.prune.requested", plan)
    return job


def ask_due() -> None:
    """A tick: plans with a new set, or on which nobody looked for a day. A frozen one waits for its person."""
    now = timezone.now()
    if Rebuild.objects.waits():
        return
    plans = Plan.objects.filter(enabled=True, retention__isnull=False).annotate(
        newest=Max("sets__finished_at", filter=Q(sets__state=Set.State.COMPLETE))
    )
    due = (
        Q(pruned_at=None)
        | Q(pruned_at__lt=now - LATEST)
        | Q(pruned_at__gt=now)
        | Q(newest__gt=F("pruned_at"))
    )
    for plan in plans.filter(due, newest__isnull=False).select_related("system"):
        lately = Job.objects.filter(kind=KIND, subject=plan.pk)
        lately = lately.filter(Q(state__in=OPEN) | Q(created_at__range=(now - SOONEST, now)))
        if not lately.exists() and not Freeze.objects.stopping(plan).exists():
            request(plan, requested_by="schedule")


def prune_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed when the plan is frozen, or a copy does not go."""
    plan = Plan.objects.select_related("system", "retention").filter(pk=pk).first()
    if plan is None:
        raise OperationFailed(_("This plan does not exist any more."), permanent=True)
    run = _Run(context, plan)
    run.finish_earlier()
    context.phase(_("looking at the destinations"))
    seen: dict[str, list[str]] = {}
    found = forecast(plan, listed=_listed(context, plan, seen))
    leaving = _allowed(found)
    for id_ in leaving:
        found = run.looked_again(found)
        run.remove(found, id_)
    with transaction.atomic():
        Plan.objects.filter(pk=pk).update(pruned_at=found.now, listed=plan.listed | seen)
        run.conclude()
    if run.faults:
        raise OperationFailed(
            _("Some copies could not be removed: %(why)s") % {"why": next(iter(run.faults.values())).message},
            _("They are tried again with the next run."),
        )


def _allowed(found: Forecast) -> list[int]:
    """The sets to remove now, the newest first: nothing goes before what needs it. Raises OperationFailed."""
    if found.waits:
        raise OperationFailed(found.waits, _("Confirm the rebuild first."), permanent=True)
    if found.freezes:
        raise OperationFailed(_("Nothing of this plan is removed: it is frozen."), permanent=True)
    if not found.doubts:
        return found.leaving
    agreed = freeze.approved(found)
    if agreed is None:
        made = freeze.freeze_plan(found.plan, found.doubts)
        raise OperationFailed(
            _("Nothing was removed: %(why)s") % {"why": retention_words.doubts(made.reasons)},
            _("Look at the preview, and end the freeze there."),
            permanent=True,
        )
    return [pk for pk in found.leaving if pk in agreed]


# ---------------------------------------------------------------------------- what the stores have


def _listed(context: JobContext, plan: Plan, seen: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
    """How many of the plan's sets each destination lists, and how many it should: what the catalogue has there, and what
    it listed the last time and was not removed since, in case that the catalogue lost the rows, too.

    `seen` gets what it lists now. One that does not answer is left out: nothing can be removed there anyway.
    """
    found = {}
    places = Destination.objects.filter(enabled=True, copies__set__plan=plan, copies__state__in=PRESENT)
    for place in places.distinct():
        expected = set(
            Copy.objects.filter(set__plan=plan, destination=place, state__in=PRESENT).values_list(
                "set__identifier", flat=True
            )
        )
        expected |= _not_removed(place, plan.listed.get(str(place.pk), []))
        try:
            keys = (one.key for one in place.build(Role.READ).list(f"{plan.system.slug}/"))
            there = {one.identifier for one in layout.find_sets(keys) if one.complete}
        except OperationFailed as error:
            context.log(f"{place}: {error}", "warning")
            continue
        found[place.name] = (len(there & expected), len(expected))
        seen[str(place.pk)] = sorted(there & expected)
    return found


def _not_removed(place: Destination, before: list[str]) -> set[str]:
    gone = Copy.objects.filter(destination=place, set__identifier__in=before).exclude(state__in=PRESENT)
    return set(before) - set(gone.values_list("set__identifier", flat=True))


# ---------------------------------------------------------------------------- one run


class _Run:
    """One run over a plan. A destination that failed once is left alone for the rest of it."""

    def __init__(self, context: JobContext, plan: Plan) -> None:
        self.context, self.plan = context, plan
        self.faults: dict[int, OperationFailed] = {}
        self.removed = 0

    def looked_again(self, found: Forecast) -> Forecast:
        """The picture changes while a long run goes on: what was let go may be the best there is by now."""
        fresh = timezone.now() - found.now < FRESH
        return found if fresh else forecast(self.plan)

    def finish_earlier(self) -> None:
        """What an earlier run began and did not bring to its end."""
        begun = Copy.objects.filter(set__plan=self.plan, state=Copy.State.REMOVING)
        for copy in begun.select_related("set__system", "destination"):
            self._remove_copy(copy, "")
            self._conclude_set(copy.set, "")

    def remove(self, found: Forecast, id_: int) -> None:
        """Every copy of the set goes, but for those that are locked, or whose destination is away or off."""
        decision = found.by_set.get(id_)
        one = Set.objects.select_related("system").filter(pk=id_, state=Set.State.COMPLETE).first()
        if decision is None or decision.keep or one is None:
            return
        self.context.phase(_("removing"), str(one))
        with in_english():
            reason = retention_words.reasons(decision)
        copies = one.copies.filter(state__in=PRESENT, destination__enabled=True)
        for copy in copies.select_related("set__system", "destination"):
            self._remove_copy(copy, reason)
        self._conclude_set(one, reason)

    def _remove_copy(self, copy: Copy, reason: str) -> None:
        if copy.destination_id in self.faults:
            return
        self.context.sure()
        try:
            store = copy.destination.build(Role.PRUNE)
            if self._locked(store, copy) or not _mark(copy):
                return
            erase(store, copy.set.prefix, self.context.check)
        except OperationFailed as error:
            self.faults[copy.destination_id] = error
            self.context.log(f"{copy}: {error}", "error")
            stuck = Copy.objects.filter(pk=copy.pk, state=Copy.State.REMOVING)
            stuck.update(message=redact(str(error)))
            return
        self._removed(copy, reason)

    def _locked(self, store: DestinationPlugin, copy: Copy) -> bool:
        """True if the store says that nobody can remove it yet; the row then says until when."""
        until = max(
            filter(None, map(partial(_locked_until, store), store.list(copy.set.prefix))), default=None
        )
        Copy.objects.filter(pk=copy.pk).update(locked_until=until)
        if until is None or until <= timezone.now():
            return False
        self.context.log(
            _("%(copy)s is locked until %(until)s.") % {"copy": copy, "until": f"{until:%Y-%m-%d %H:%M}Z"}
        )
        return True

    def _removed(self, copy: Copy, reason: str) -> None:
        with transaction.atomic():
            mine = Copy.objects.filter(pk=copy.pk, state=Copy.State.REMOVING)
            if mine.update(state=Copy.State.REMOVED, level="", message="", locked_until=None):
                record(self.context.job.requested_by, "backups.prune.copy_removed", copy, reason=reason)
                self.removed += 1

    def _conclude_set(self, one: Set, reason: str) -> None:
        """A set of which no copy is left has gone; its parts go from the catalogue with it."""
        left = one.copies.exclude(state__in=[Copy.State.REMOVED, Copy.State.FAILED, Copy.State.WAITING])
        with transaction.atomic():
            whole = Set.objects.filter(pk=one.pk, state=Set.State.COMPLETE)
            if left.exists() or not whole.update(
                state=Set.State.REMOVED, level="", removed_at=timezone.now()
            ):
                return
            one.parts.all().delete()
            one.needs.clear()
            record(self.context.job.requested_by, "backups.prune.removed", one, reason=reason)
        self.context.log(_("%(set)s is gone: %(reason)s") % {"set": one, "reason": reason})

    def conclude(self) -> None:
        """People hear once of what did not go, not with every run."""
        self.context.log(_("Number of copies that went: %(count)d") % {"count": self.removed})
        if not self.faults:
            return
        fault = next(iter(self.faults.values()))
        if not _failed_before(self.context.job):
            title = format_lazy(gettext_lazy("{plan}: old sets cannot be removed"), plan=self.plan)
            tell(Event.WARNING, title, retold(redact(fault.message), redact(fault.hint)))


def _failed_before(job: Job) -> bool:
    before = Job.objects.filter(kind=KIND, subject=job.subject).exclude(pk=job.pk).order_by("-pk").first()
    return before is not None and before.state == State.FAILED


def _locked_until(store: DestinationPlugin, one: Stored) -> datetime | None:
    try:
        return store.head(one.key).locked_until
    except NotThere:
        return None  # Gone since it was listed.


def _mark(copy: Copy) -> bool:
    """Let it go: nobody verifies it or restores from it any more. False if somebody does so now, or needs it."""
    with transaction.atomic():
        if copy.state == Copy.State.REMOVING:
            return True
        one = Set.objects.select_for_update().get(pk=copy.set_id)
        going = Copy.objects.filter(pk=copy.pk, state__in=PRESENT)
        return not _used(one) and bool(going.update(state=Copy.State.REMOVING, message=""))


def _used(one: Set) -> bool:
    checks = Verification.objects.filter(
        copy__set=one, state__in=[Verification.State.WAITING, Verification.State.RUNNING]
    )
    restores = Recovery.objects.filter(state__in=[Recovery.State.WAITING, Recovery.State.RUNNING])
    return (
        checks.exists()
        or restores.filter(Q(copy__set=one) | Q(safety_set=one)).exists()
        or one.pins.filter(released_at=None).exists()
        or one.needed_by.filter(state=Set.State.COMPLETE).exists()
        or one.copies.filter(state=Copy.State.WRITING).exists()
        or Job.objects.filter(
            kind=locking.KIND, subject__in=one.copies.values("pk"), state=State.RUNNING
        ).exists()
    )
