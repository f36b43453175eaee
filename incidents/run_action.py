"""Runs an action: look, act, measure. Or takes one back."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, State
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact
from drcenter.stored import in_english
from incidents.actions.base import Context
from incidents.models import ActionRun, PreparedAction

KIND = "incidents.action"


def foretell(prepared: PreparedAction) -> list[str]:
    """What it will do, after a look at what there is. Raises OperationFailed when it cannot be done now."""
    action = prepared.build()
    return action.foretell(action.look(Context(prepared.system, log=lambda _text: None)))


def request(prepared: PreparedAction, *, requested_by: str, typed: str = "") -> ActionRun:
    """Ask for a run. Raises OperationFailed, and records it, unless the system's key was typed for one that changes
    what users see."""
    if prepared.build().destructive and typed.strip() != prepared.system.slug:
        with transaction.atomic():
            record(
                requested_by, "incidents.action.refused", prepared, result=Result.REFUSED, typed=typed[:100]
            )
        raise OperationFailed(
            _("What was typed is not the key of the system."),
            _("Type exactly: %(words)s") % {"words": prepared.system.slug}, permanent=True,
        )  # fmt: skip
    run = ActionRun(
        prepared=prepared, system=prepared.system, name=prepared.name, kind=prepared.kind,
        options=prepared.options, requested_by=requested_by,
    )  # fmt: skip
    return _queue(run, "incidents.action.requested")


def request_undo(run: ActionRun, *, requested_by: str) -> ActionRun:
    """Ask for a run that takes `run` back. Raises OperationFailed when there is nothing to take back."""
    if not run.can_be_undone:
        raise OperationFailed(_("There is nothing to take back."), permanent=True)
    back = ActionRun(
        prepared=run.prepared, system=run.system, name=run.name, kind=run.kind, options=run.options, undoes=run,
        before=run.before, requested_by=requested_by,
    )  # fmt: skip
    return _queue(back, "incidents.action.undo_requested")


def _queue(run: ActionRun, what: str) -> ActionRun:
    with transaction.atomic():
        run.save()
        with in_english():
            title = _("Take back %(run)s") % {"run": run} if run.undoes else _("Run %(run)s") % {"run": run}
        run.job = enqueue(
            KIND, run.pk, target=f"system:{run.system_id}", title=title, requested_by=run.requested_by
        )
        run.save(update_fields=["job"])
        record(run.requested_by, what, run, kind=run.kind, options=run.options)
    return run


def action_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: one attempt, never a second one by itself."""
    won = ActionRun.objects.filter(pk=pk, state=ActionRun.State.WAITING).update(
        state=ActionRun.State.RUNNING, started_at=timezone.now(), job=context.job
    )
    if not won:
        raise OperationFailed(_("This run is not waiting any more."), permanent=True)
    run = ActionRun.objects.select_related("system", "undoes").get(pk=pk)
    try:
        if run.undoes is None:
            _act(context, run)
        else:
            _take_back(context, run)
    except BaseException as error:
        _fail(context, run, error)
        raise
    _finish(run, ActionRun.State.SUCCEEDED)


def _act(context: JobContext, run: ActionRun) -> None:
    action, here = run.build(), _here(context, run)
    context.phase(_("look"), action.describe())
    before = action.look(here)
    for sentence in action.foretell(before):
        context.log(sentence)
    # Kept before anything is done: whoever comes after a crash knows what there was.
    run.before = before
    run.save(update_fields=["before"])
    context.phase(_("act"), action.describe())
    context.sure()
    action.execute(here, before)
    context.phase(_("measure"), action.describe())
    try:
        run.measured = redact(action.verify(here, before))
    except OperationFailed:
        run.state = ActionRun.State.NOT_VERIFIED
        raise
    context.log(run.measured)


def _take_back(context: JobContext, run: ActionRun) -> None:
    action = run.build()
    context.phase(_("take back"), action.describe())
    context.sure()
    action.undo(_here(context, run), run.before or {})


def _here(context: JobContext, run: ActionRun) -> Context:
    return Context(run.system, context.log, context.children)


def _fail(context: JobContext, run: ActionRun, error: BaseException) -> None:
    stopped = context.cancelled or isinstance(error, Cancelled | KeyboardInterrupt)
    state = run.state if run.state == ActionRun.State.NOT_VERIFIED else ActionRun.State.FAILED
    run.message = redact(
        _("Stopped on request.")
        if stopped
        else getattr(error, "message", "") or f"{type(error).__name__}: {error}"
    )
    run.hint = redact(str(getattr(error, "hint", "")))
    _finish(run, ActionRun.State.CANCELLED if stopped else state)


def _finish(run: ActionRun, state: str) -> None:
    """Raises OperationFailed when the row was taken away meanwhile."""
    with transaction.atomic():
        mine = ActionRun.objects.filter(pk=run.pk, state=ActionRun.State.RUNNING, job=run.job)
        values = {"measured": run.measured, "message": run.message, "hint": run.hint}
        if not mine.update(state=state, finished_at=timezone.now(), **values):
            raise OperationFailed(
                _("Another attempt has taken this job over; this one stops."), permanent=True
            )
        run.state = state
        record(run.requested_by, f"incidents.action.{state}", run, message=run.message, measured=run.measured)
        event = Event.SUCCESS if state == ActionRun.State.SUCCEEDED else Event.FAILURE
        with in_english():
            title = f"{run}: {run.get_state_display()}"
        tell(event, title, retold(run.message or run.measured, run.hint))


def ended(job: Job) -> None:
    """After every end of a job: a run that it left unfinished is brought in line."""
    states = {State.LOST: ActionRun.State.LOST, State.CANCELLED: ActionRun.State.CANCELLED}
    state = states.get(State(job.state), ActionRun.State.FAILED)
    unfinished = ActionRun.objects.filter(
        pk=job.subject, job=job, state__in=[ActionRun.State.WAITING, ActionRun.State.RUNNING]
    )
    for run in unfinished:
        with transaction.atomic():
            run.state, run.finished_at = state, timezone.now()
            run.message = run.message or job.message
            if state == ActionRun.State.LOST:
                run.hint = _(
                    "Nobody knows how far it came. Look at what there is, then run it again: doing it twice does no harm."
                )
            run.save()
            record(run.requested_by, f"incidents.action.{state}", run, message=run.message)
