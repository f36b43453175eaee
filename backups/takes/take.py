"""Takes a set: look, dump, read back, publish, prove, copy.

Nothing counts before the manifest is written, last, by the attempt that still owns the row. Whatever goes
wrong before that is withdrawn from storage; the row says what happened.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _

from backups import needs_proof, own_keys
from backups.engines.base import Finding
from backups.models import Copy, Level, Plan, Set, Source, Verification
from backups.models.level import at_least
from backups.pipe.decode import Damaged
from backups.places import copies, copying
from backups.recovery import identities
from backups.recovery.aftermath import abandon, ended, fail, withdraw_copy
from backups.storage import layout, publish, readback, signing
from backups.storage.readback import Unreadable
from backups.storage.references import owner_of
from backups.takes import dumping, increments, preflight, proof
from backups.takes.tables import Chosen, choose
from backups.takes.taking import KIND, Taking, enqueue_take
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import redact

__all__ = ["KIND", "abandon", "ended", "fail", "request", "store_set", "take_job"]


def request(
    plan: Plan, *, reason: str = Set.Reason.MANUAL, requested_by: str, planned_at: datetime | None = None,
    tables: Sequence[str] | None = None,
) -> Set:  # fmt: skip
    """Ask for a set of `plan`; a worker takes it. Raises OperationFailed when the plan cannot run at all.

    `tables`: these alone, in place of those that the plan names; they are looked for at once.

    The same `planned_at` asked for twice gives the same set: a tick may come twice.
    """
    if not plan.destinations.filter(enabled=True).exists():
        raise OperationFailed(
            _("The plan has no destination that is enabled."),
            _("Choose one on the plan's page."),
            permanent=True,
        )
    if tables:
        choose(list(plan.chosen()), tables)
    with transaction.atomic():
        if planned_at is not None and (known := Set.objects.filter(plan=plan, planned_at=planned_at).first()):
            return known
        wanted = Set.objects.create(
            system=plan.system, plan=plan, reason=reason, planned_at=planned_at, encrypted=plan.encrypt,
            tables=plan.tables if tables is None else list(tables),
            apart=tables is not None and set(tables) != set(plan.tables),
        )  # fmt: skip
        wanted.job = enqueue_take(wanted, requested_by)
        wanted.save(update_fields=["job"])
        record(requested_by, "backups.take.requested", wanted, plan=str(plan), reason=str(reason))
    return wanted


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
    known = Set.objects.filter(pk=pk).first()
    if known is None:
        raise OperationFailed(_("This set does not exist any more."), permanent=True)
    attempt = known.attempt + 1
    won = Set.objects.filter(pk=pk, attempt=attempt - 1, state=Set.State.WAITING).update(
        attempt=attempt, state=Set.State.RUNNING, started_at=now, job=context.job, message="", hint="",
        identifier=layout.new_identifier(now, attempt, signing.mark(publish.signing_key().fingerprint)),
    )  # fmt: skip
    if not won:
        raise OperationFailed(_("This set is not waiting any more."), permanent=True)
    return Taking(context, Set.objects.select_related("plan", "system").get(pk=pk))


def take(taking: Taking) -> None:
    """The whole story of one set. Raises OperationFailed or Cancelled; `take_job` cleans up then."""
    sources = list(taking.plan.chosen())
    own_keys.refuse_in_the_clear(sources, encrypted=taking.set.encrypted)
    chosen = choose(sources, taking.set.tables)
    taking.note_partial(chosen, sources)
    store_set(taking, chosen)
    increments.keep(taking)
    _copy_elsewhere(taking)
    if taking.plan.level == Level.PROVEN:
        _prove(taking)
    _report(taking)


def store_set(taking: Taking, sources: Sequence[Source | Chosen]) -> None:
    """Look, dump, read back, publish: the set exists, and is intact. A failure has to be withdrawn by `fail`."""
    looked = _look(taking, sources)
    dumping.dump(taking, looked)
    _read_back(taking)
    taking.context.phase(_("writing the manifest"))
    publish.publish(taking)
    _complete(taking)


def _look(taking: Taking, sources: Sequence[Source | Chosen]) -> Sequence[preflight.Looked]:
    taking.context.phase(_("looking at the sources"))
    looked = preflight.look(sources)
    taking.choose_destination(preflight.estimate(taking.plan, looked))
    for one in looked:
        taking.found(one.source.name, one.inspection.findings)
    if taking.set.encrypted:
        taking.recipients = identities.recipients()
    else:
        taking.log(_("This plan does not encrypt: whoever reads the store reads the data."), "warning")
    Set.objects.filter(pk=taking.set.pk).update(recipients=taking.recipients)
    taking.set.recipients = taking.recipients
    return looked


def _read_back(taking: Taking) -> None:
    """Every part comes back from the store, is decrypted with the ephemeral identity and decompressed.

    What lies in the folders of earlier sets was read back when they were taken; now it has to be there still.
    """
    with taking.clock("read back"):
        for part in taking.parts:
            if owner_of(part.key):
                readback.check_stored(taking.readable, part)
                continue
            taking.context.phase(_("reading back"), part.key, part.plain_size)
            readback.check(taking.readable, part, taking.context.advance)


def _complete(taking: Taking) -> None:
    """The set exists now. If the row was taken away meanwhile, what was published is withdrawn."""
    one, manifest = taking.set, taking.manifest
    if manifest is None:
        raise OperationFailed("Nothing was published yet.")
    with transaction.atomic():
        won = taking.mine().update(
            details_size=manifest.details.size, details_sha256=manifest.details.sha256,
            signing_key=manifest.signing_key, checksums_sha256=taking.checksums_sha256,
            state=Set.State.COMPLETE, moment=taking.moment, finished_at=timezone.now(), capped=taking.capped,
            findings=taking.findings, plain_size=taking.plain_size,
            stored_size=sum(part.stored_size for part in taking.own_parts), moments=taking.moments, spread=taking.spread, witnesses=taking.witnesses, timings=taking.timings,
            made_with=needs_proof.as_made(taking.plan, taking.sources),
            level=Level.STORED if taking.capped else Level.INTACT, level_reason=taking.cap_reason,
        )  # fmt: skip
        if not won:
            raise OperationFailed(
                _("Another attempt has taken this set over; this one withdraws."), permanent=True
            )
        for part in taking.parts:
            part.save()
        one.needs.set(Set.objects.filter(system=one.system, identifier__in=manifest.needs))
        taking.copy_row.state, taking.copy_row.level = Copy.State.COMPLETE, Level.INTACT
        taking.copy_row.verified_at = timezone.now()
        taking.copy_row.save()
        record(taking.context.job.requested_by, "backups.take.completed", one, parts=len(taking.parts))
    # From here on nothing may remove it, whatever happens.
    taking.published = True
    one.refresh_from_db()
    taking.found("set", preflight.check_size(one))


def _copy_elsewhere(taking: Taking) -> None:
    """The other destinations get what the first one holds, byte for byte. One that fails is noted, not fatal."""
    for row in taking.others():
        if copies.left_alone(row.destination):
            # It failed a moment ago: the job that makes up for copies comes when it answers again.
            Copy.objects.filter(pk=row.pk, state=Copy.State.WRITING).update(
                state=Copy.State.WAITING, message=row.destination.fault
            )
            continue
        taking.context.phase(_("copying"), row.destination.name, taking.set.stored_size)
        _copy_to(taking, row)


def _copy_to(taking: Taking, row: Copy) -> None:
    try:
        other = row.destination.build()
        copying.copy(taking.readable, other, taking.context.advance, taking.check_owner)
    except OperationFailed as error:
        taking.context.check()
        taking.log(f"{row.destination}: {error}", "error")
        message = redact(f"{error} {withdraw_copy(row, taking.set.prefix)}".strip())
        taking.found(row.destination.name, [Finding(error.message, error.hint)])
        if not isinstance(error, Damaged | Unreadable):
            copies.failed(row.destination, error)
        _end_copy(taking, row, state=Copy.State.FAILED, message=message)
    else:
        copies.answered(row.destination)
        _end_copy(taking, row, state=Copy.State.COMPLETE, level=Level.STORED, verified_at=timezone.now())


def _end_copy(taking: Taking, row: Copy, **fields: object) -> None:
    """Write how the copy ended, unless the job was taken away: then it is withdrawn. Raises OperationFailed then."""
    with transaction.atomic():
        # Locked: whoever gives the job up does it before or after this, and then sees what is written here.
        mine = taking.context.mine().select_for_update().exists()
        written = mine and Copy.objects.filter(pk=row.pk, state=Copy.State.WRITING).update(**fields)
    if not written:
        withdraw_copy(row, taking.set.prefix)
        taking.give_up()


def _prove(taking: Taking) -> None:
    verification = Verification.objects.create(
        copy=taking.copy_row, job=taking.context.job, wanted=Level.PROVEN, state=Verification.State.RUNNING,
        started_at=timezone.now(), requested_by=taking.context.job.requested_by,
    )  # fmt: skip
    with taking.clock("proof"):
        outcome = proof.prove(taking.context, taking.readable, taking.details, taking.parts)
    proof.conclude(verification, outcome)
    taking.differs = bool(outcome.differences)


def _report(taking: Taking) -> None:
    """What the channels are told of a set that exists."""
    one = Set.objects.get(pk=taking.set.pk)
    Set.objects.filter(pk=one.pk).update(timings=taking.timings, findings=taking.findings)
    good = at_least(one.level, taking.plan.level) and not one.capped
    event = Event.SUCCESS if good and not taking.findings else Event.WARNING
    if taking.differs:
        event = Event.FAILURE
    title = format_lazy("{set}: {level}", set=one, level=Level(one.level).label if one.level else "")
    lines = [one.level_reason, *(f"{finding['source']}: {finding['message']}" for finding in taking.findings)]
    with transaction.atomic():
        tell(event, title, retold(*lines, between="\n"))
