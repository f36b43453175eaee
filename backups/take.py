"""Takes a set: look, dump, read back, publish, prove, copy.

Nothing counts before the manifest is written, last, by the attempt that still owns the row. Whatever goes
wrong before that is withdrawn from storage; the row says what happened.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import identities, layout, preflight, proof, publish, readback
from backups.destinations.base import Destination as DestinationPlugin
from backups.engines.base import Finding, PartSpec
from backups.models import Copy, Level, Plan, Set, Source, Verification
from backups.models.level import at_least
from backups.stream import Encoding, store
from backups.taking import Taking
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, State
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event
from drcenter.secrets import redact

KIND = "backups.take"


def request(
    plan: Plan, *, reason: str = Set.Reason.MANUAL, requested_by: str, planned_at: datetime | None = None
) -> Set:
    """Ask for a set of `plan`; a worker takes it. Raises OperationFailed when the plan cannot run at all.

    The same `planned_at` asked for twice gives the same set: a tick may come twice.
    """
    if not plan.destinations.filter(enabled=True).exists():
        raise OperationFailed(
            _("The plan has no destination that is enabled."),
            _("Choose one on the plan's page."),
            permanent=True,
        )
    with transaction.atomic():
        if planned_at is not None and (known := Set.objects.filter(plan=plan, planned_at=planned_at).first()):
            return known
        wanted = Set.objects.create(
            system=plan.system, plan=plan, reason=reason, planned_at=planned_at, encrypted=plan.encrypt
        )
        wanted.job = _enqueue(wanted, requested_by)
        wanted.save(update_fields=["job"])
        record(requested_by, "backups.take.requested", wanted, plan=str(plan), reason=str(reason))
    return wanted


def _enqueue(wanted: Set, requested_by: str) -> Job:
    title = _("Back up %(plan)s") % {"plan": wanted.plan}
    return enqueue(
        KIND, wanted.pk, target=f"system:{wanted.system_id}", title=title, requested_by=requested_by
    )


def take_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: take the set `pk`. Raises what made it fail, after cleaning up."""
    taking = _begin(context, pk)
    try:
        take(taking)
    except BaseException as error:
        fail(taking, error)
        raise


def _begin(context: JobContext, pk: int) -> Taking:
    """Claim the row for a new attempt, with a folder in storage of its own."""
    now = timezone.now()
    attempt = Set.objects.get(pk=pk).attempt + 1
    won = Set.objects.filter(pk=pk, attempt=attempt - 1, state=Set.State.WAITING).update(
        attempt=attempt, state=Set.State.RUNNING, started_at=now, job=context.job, message="", hint="",
        identifier=layout.new_identifier(now, attempt),
    )  # fmt: skip
    if not won:
        raise OperationFailed(_("This set is not waiting any more."), permanent=True)
    return Taking(context, Set.objects.select_related("plan", "system").get(pk=pk))


def take(taking: Taking) -> None:
    """The whole story of one set. Raises OperationFailed or Cancelled; `take_job` cleans up then."""
    store_set(taking, list(taking.plan.sources.filter(enabled=True).order_by("pk")))
    _copy_elsewhere(taking)
    if taking.plan.level == Level.PROVEN:
        _prove(taking)
    _report(taking)


def store_set(taking: Taking, sources: Sequence[Source]) -> None:
    """Look, dump, read back, publish: the set exists, and is intact. A failure has to be withdrawn by `fail`."""
    looked = _look(taking, sources)
    for one in looked:
        _dump(taking, one)
    taking.moment = taking.moments[0]
    _read_back(taking)
    taking.context.phase(_("writing the manifest"))
    publish.publish(taking)
    _complete(taking)


def _look(taking: Taking, sources: Sequence[Source]) -> Sequence[preflight.Looked]:
    taking.context.phase(_("looking at the sources"))
    looked = preflight.look(sources)
    taking.choose_destination(preflight.estimate(taking.plan, looked))
    for one in looked:
        taking.found(one.source.name, one.inspection.findings)
    if taking.set.encrypted:
        taking.recipients = identities.recipients()
    else:
        taking.context.log(
            _("This plan does not encrypt: whoever reads the store reads the data."), "warning"
        )
    Set.objects.filter(pk=taking.set.pk).update(recipients=taking.recipients)
    taking.set.recipients = taking.recipients
    return looked


def _dump(taking: Taking, looked: preflight.Looked) -> None:
    source, engine = looked.source, looked.engine
    with taking.clock("dump"), engine.snapshot() as snapshot:
        taking.moments.append(timezone.now())
        for spec in snapshot.parts():
            taking.context.phase(_("dumping"), f"{source.name}: {spec.name}", looked.inspection.size)
            _store(taking, source, spec, int(looked.inspection.size * preflight.PACKED))
        taking.context.phase(_("computing the witness"), source.name)
        with taking.clock("witness"):
            witness = snapshot.witness()
        taking.found(source.name, snapshot.findings())
        taking.note_source(source, engine, looked.inspection, snapshot.position, witness)


def _store(taking: Taking, source: Source, spec: PartSpec, expected: int) -> None:
    context, key = taking.context, taking.key_for(source, spec)
    level, limit = taking.plan.compression, taking.bytes_per_second
    encoding = Encoding(taking.encryption, level, limit, context.children, context.advance)
    stored = store(spec, partial(taking.put, key, size=expected), encoding)
    taking.add_part(source, spec, key, stored)
    context.log(f"{key}: {stored.plain_size:,} → {stored.stored_size:,} bytes, {stored.seconds:.1f} s")


def _read_back(taking: Taking) -> None:
    """Every part comes back from the store, is decrypted with the ephemeral identity and decompressed."""
    with taking.clock("read back"):
        for part in taking.parts:
            taking.context.phase(_("reading back"), part.key, part.plain_size)
            readback.check(taking.readable, part, taking.context.advance)


def _complete(taking: Taking) -> None:
    """The set exists now. If the row was taken away meanwhile, what was published is withdrawn."""
    one = taking.set
    with transaction.atomic():
        won = taking.mine().update(
            state=Set.State.COMPLETE, moment=taking.moment, finished_at=timezone.now(), capped=taking.capped,
            findings=taking.findings, plain_size=sum(part.plain_size for part in taking.parts),
            stored_size=sum(part.stored_size for part in taking.parts), timings=taking.timings,
            level=Level.STORED if taking.capped else Level.INTACT, level_reason=taking.cap_reason,
        )  # fmt: skip
        if not won:
            raise OperationFailed(
                _("Another attempt has taken this set over; this one withdraws."), permanent=True
            )
        for part in taking.parts:
            part.save()
        taking.copy_row.state, taking.copy_row.level = Copy.State.COMPLETE, Level.INTACT
        taking.copy_row.verified_at = timezone.now()
        taking.copy_row.save()
        record(taking.context.job.requested_by, "backups.take.completed", one, parts=len(taking.parts))
    one.refresh_from_db()
    for finding in preflight.check_size(one):
        taking.found("set", [finding])
    taking.published = True


def _copy_elsewhere(taking: Taking) -> None:
    """The other destinations get what the first one holds, byte for byte. One that fails is noted, not fatal."""
    for row, other in taking.others():
        taking.context.phase(_("copying"), row.destination.name, taking.set.stored_size)
        try:
            publish.copy(taking.destination, other, taking.set.prefix, taking.context.advance)
        except OperationFailed as error:
            taking.context.log(f"{row.destination}: {error}", "error")
            row.state, row.message = Copy.State.FAILED, redact(str(error))
            taking.found(row.destination.name, [Finding(error.message, error.hint)])
        else:
            row.state, row.level, row.verified_at = Copy.State.COMPLETE, Level.STORED, timezone.now()
        row.save()


def _prove(taking: Taking) -> None:
    verification = Verification.objects.create(
        copy=taking.copy_row, job=taking.context.job, wanted=Level.PROVEN, state=Verification.State.RUNNING,
        started_at=timezone.now(), requested_by=taking.context.job.requested_by,
    )  # fmt: skip
    with taking.clock("proof"):
        outcome = proof.prove(taking.context, taking.readable, taking.details, taking.parts)
    proof.conclude(verification, outcome, capped=taking.capped)


def _report(taking: Taking) -> None:
    """What the channels are told of a set that exists."""
    one = Set.objects.get(pk=taking.set.pk)
    Set.objects.filter(pk=one.pk).update(timings=taking.timings, findings=taking.findings)
    good = at_least(one.level, taking.plan.level) and not one.capped
    event = Event.SUCCESS if good and not taking.findings else Event.WARNING
    level = one.get_level_display()
    title = _("%(set)s: %(level)s") % {"set": one, "level": level}
    lines = [one.level_reason, *(f"{finding['source']}: {finding['message']}" for finding in taking.findings)]
    with transaction.atomic():
        tell(event, title, "\n".join(line for line in lines if line))


def fail(taking: Taking, error: BaseException) -> None:
    """Bring the row and the store in line with what happened; the error itself goes on to the job."""
    cancelled = isinstance(error, Cancelled) or taking.context.cancelled
    if taking.published:
        _unfinished(taking, error)
        return
    leftover = withdraw(taking.destination_or_none, taking.set.prefix)
    message = (
        _("Stopped on request.")
        if cancelled
        else getattr(error, "message", f"{type(error).__name__}: {error}")
    )
    state = Set.State.CANCELLED if cancelled else Set.State.FAILED
    with transaction.atomic():
        won = taking.mine().update(
            state=state, finished_at=timezone.now(), message=redact(message + leftover),
            hint=redact(getattr(error, "hint", "")), findings=taking.findings,
        )  # fmt: skip
        taking.set.copies.filter(state=Copy.State.WRITING).update(state=Copy.State.FAILED)
        if won and not cancelled:
            tell(Event.FAILURE, _("%(plan)s: the backup failed") % {"plan": taking.plan}, redact(str(error)))
        if won:
            record(
                taking.context.job.requested_by, f"backups.take.{state}", taking.set, message=redact(message)
            )


def _unfinished(taking: Taking, error: BaseException) -> None:
    """The set exists and is intact; only what should have come after it did not happen."""
    reason = _("The proof was not finished: %(error)s") % {
        "error": redact(str(error) or type(error).__name__)
    }
    Set.objects.filter(pk=taking.set.pk).update(level_reason=reason, findings=taking.findings)
    taking.set.copies.filter(state=Copy.State.WRITING).update(state=Copy.State.FAILED)
    Verification.objects.filter(copy__set=taking.set, state=Verification.State.RUNNING).update(
        state=Verification.State.FAILED, finished_at=timezone.now(), message=reason
    )


def withdraw(destination: DestinationPlugin | None, prefix: str) -> str:
    """Remove what an attempt without a manifest left; a sentence to add to the message if that failed."""
    if destination is None:
        return ""
    try:
        destination.abort(prefix)
        for stored in list(destination.list(prefix)):
            destination.delete(stored.key)
    except OperationFailed as error:
        return " " + _("What it had stored could not be removed (%(error)s); it is swept later.") % {
            "error": error.message
        }
    return ""


def ended(job: Job) -> None:
    """After a job that did not end by itself: the row says so, storage is cleaned, and the plan may try again."""
    if job.state not in {State.LOST, State.CANCELLED, State.FAILED}:
        return
    state = {State.LOST: Set.State.LOST, State.CANCELLED: Set.State.CANCELLED}.get(
        State(job.state), Set.State.FAILED
    )
    abandon(Set.objects.select_related("plan", "system").get(pk=job.subject), job, state)


def abandon(one: Set, job: Job, state: str) -> None:
    """Bring a set in line whose attempt did not end by itself."""
    unfinished = models.Q(state__in=[Set.State.WAITING, Set.State.RUNNING])
    with transaction.atomic():
        won = Set.objects.filter(unfinished, pk=one.pk, attempt=one.attempt).update(
            state=state, finished_at=timezone.now(), message=job.message, hint=job.hint
        )
        if won and state == Set.State.LOST:
            record("system", "backups.take.lost", one)
            tell(Event.FAILURE, _("%(plan)s: the worker was lost") % {"plan": one.plan}, job.message)
    _tidy_after(one, won=bool(won), lost=state == Set.State.LOST)


def _tidy_after(one: Set, *, won: bool, lost: bool) -> None:
    if lost and one.state == Set.State.COMPLETE:
        reason = _("The worker was lost before the proof was finished.")
        Set.objects.filter(pk=one.pk).exclude(level=Level.PROVEN).update(level_reason=reason)
        Verification.objects.filter(copy__set=one, state=Verification.State.RUNNING).update(
            state=Verification.State.FAILED, finished_at=timezone.now(), message=reason
        )
    if not won:
        return
    for copy in one.copies.select_related("destination").filter(state=Copy.State.WRITING):
        copy.state, copy.message = Copy.State.FAILED, withdraw(copy.destination.build(), one.prefix)
        copy.save()
    if lost and one.plan is not None and one.plan.retry_lost and one.attempt == 1:
        _try_again(one)


def _try_again(one: Set) -> None:
    with transaction.atomic():
        if Set.objects.filter(pk=one.pk, state=Set.State.LOST, attempt=one.attempt).update(
            state=Set.State.WAITING
        ):
            one.copies.all().delete()
            job = _enqueue(one, "system")
            Set.objects.filter(pk=one.pk).update(job=job)
            record("system", "backups.take.retried", one)
