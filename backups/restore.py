"""Restores sources of a set, beside the originals or over production."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import details, engines, identities, production, readback
from backups.models import Copy, Recovery, Set, Source
from backups.placing import by_source, place_source
from backups.recovering import Recovering
from backups.take import abandon
from backups.witness import Witness, differences
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, State
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event
from drcenter.secrets import Secret, redact

KIND = "backups.restore"


def request_beside(
    copy: Copy,
    *,
    sources: Sequence[Source],
    names: dict[str, str],
    requested_by: str,
    identity: Secret | None = None,
) -> Recovery:
    """Ask for a restore into new databases and directories: `names` says which, by source name.

    Raises OperationFailed when a name is missing or is the original.
    """
    chosen = chosen_sources(copy, sources)
    for source in chosen:
        if not names.get(source.name, "").strip():
            raise OperationFailed(
                _("%(source)s needs a name beside the original.") % {"source": source}, permanent=True
            )
        if source.build().beside(names[source.name]).target == source.build().target:
            raise OperationFailed(_("This is the original, not a place beside it."), permanent=True)
    return _request(copy, chosen, Recovery.Place.BESIDE, requested_by, identity, names=names)


def request_production(  # noqa: PLR0913 - all are named
    copy: Copy, *, sources: Sequence[Source], typed_host: str, requested_by: str, identity: Secret | None = None,
    skip_safety: bool = False,
) -> Recovery:  # fmt: skip
    """Ask for a restore over production. Raises OperationFailed, and records it, unless the host was typed.

    `skip_safety`: do not back up what is overwritten first; for a source that cannot be read any more.
    """
    chosen = chosen_sources(copy, sources)
    hosts = {source.build().host for source in chosen}
    if {word.strip() for word in typed_host.split(",") if word.strip()} != hosts:
        with transaction.atomic():
            record(
                requested_by,
                "backups.restore.refused",
                copy.set,
                result=Result.REFUSED,
                typed=typed_host[:100],
            )
        raise OperationFailed(
            _("The host that was typed is not the host of the target."),
            _("Type exactly: %(hosts)s") % {"hosts": ", ".join(sorted(hosts))}, permanent=True,
        )  # fmt: skip
    return _request(
        copy,
        chosen,
        Recovery.Place.PRODUCTION,
        requested_by,
        identity,
        typed_host=typed_host,
        skip_safety=skip_safety,
    )


def describe_production(copy: Copy, sources: Sequence[Source]) -> list[str]:
    """What a restore over production will do, in order, one sentence each."""
    return production.describe(copy, chosen_sources(copy, sources))


def chosen_sources(copy: Copy, sources: Sequence[Source]) -> list[Source]:
    """The sources to restore, in the set's order; all of the set for none. Raises OperationFailed for a stranger."""
    if copy.state != Copy.State.COMPLETE:
        raise OperationFailed(
            _("This copy is not complete, or is damaged. Choose another one."), permanent=True
        )
    held = list(by_source(list(copy.set.parts.all())))
    known = {source.name: source for source in copy.set.system.sources.all()}
    wanted = [source.name for source in sources] or held
    for name in wanted:
        if name not in held or name not in known:
            raise OperationFailed(_("The set has no source %(name)s.") % {"name": name}, permanent=True)
    return [known[name] for name in held if name in wanted]


def _request(
    copy: Copy,
    sources: Sequence[Source],
    place: str,
    requested_by: str,
    identity: Secret | None,
    **fields: object,
) -> Recovery:
    with transaction.atomic():
        wanted = Recovery.objects.create(copy=copy, place=place, requested_by=requested_by, **fields)
        wanted.sources.set(sources)
        title = _("Restore %(set)s %(place)s") % {"set": copy.set, "place": wanted.get_place_display()}
        target = f"system:{copy.set.system_id}"
        wanted.job = enqueue(KIND, wanted.pk, target=target, title=title, requested_by=requested_by)
        wanted.save(update_fields=["job"])
        identities.bring(wanted.job, identity)
        record(
            requested_by,
            "backups.restore.requested",
            wanted,
            place=place,
            sources=[one.name for one in sources],
        )
    return wanted


def restore_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: one attempt, never a second one by itself."""
    won = Recovery.objects.filter(pk=pk, state=Recovery.State.WAITING).update(
        state=Recovery.State.RUNNING, started_at=timezone.now(), job=context.job
    )
    if not won:
        raise OperationFailed(_("This recovery is not waiting any more."), permanent=True)
    recovery = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=pk)
    recovering = Recovering(context, recovery)
    try:
        _restore(recovering)
    except BaseException as error:
        _fail(recovering, error)
        raise
    _finish(recovering, Recovery.State.SUCCEEDED)


def _restore(recovering: Recovering) -> None:
    one = recovering.set
    recovering.identities = identities.brought(recovering.context.job) if one.encrypted else []
    identities.needed(one.recipients if one.encrypted else [], recovering.identities)
    with recovering.step(_("read and check every part"), recovering.recovery.copy.destination.name):
        _check_parts(recovering)
        recovering.details = details.read(recovering.readable, encrypted=one.encrypted)
    if recovering.recovery.place == Recovery.Place.PRODUCTION:
        production.restore(recovering)
    else:
        _restore_beside(recovering)


def _check_parts(recovering: Recovering) -> None:
    """Nothing is touched before all that will be written is known to be good."""
    for part in recovering.all_parts():
        recovering.context.phase(_("reading back"), part.key, part.plain_size)
        readback.check(recovering.readable, part, recovering.context.advance)


def _restore_beside(recovering: Recovering) -> None:
    for source, parts in recovering.sources():
        name = recovering.recovery.names[source.name]
        place = engines.build(source.engine, source.options).beside(name)
        with recovering.step(_("prepare"), place.target):
            place.prepare(overwrite=False)
        expected = Witness.from_json(recovering.details["sources"][source.name]["witness"])
        try:
            with recovering.step(_("restore"), place.target):
                place_source(recovering.context, recovering.readable, parts, place, expected)
        except BaseException:
            with recovering.step(_("remove what is half restored"), place.target):
                place.drop()
            raise
        with recovering.step(_("compare"), place.target):
            found = differences(expected, place.witness())
            recovering.note_differences(source, found)
        recovering.count(source, place)


def _fail(recovering: Recovering, error: BaseException) -> None:
    cancelled = isinstance(error, Cancelled) or recovering.context.cancelled
    state = recovering.end_state or (Recovery.State.CANCELLED if cancelled else Recovery.State.FAILED)
    recovering.recovery.message = redact(getattr(error, "message", "") or str(error) or type(error).__name__)
    recovering.recovery.hint = redact(getattr(error, "hint", ""))
    _finish(recovering, state)


def _finish(recovering: Recovering, state: str) -> None:
    recovery = recovering.recovery
    recovery.state, recovery.finished_at = state, timezone.now()
    good = state == Recovery.State.SUCCEEDED and not recovery.differences
    title = _("%(recovery)s: %(state)s") % {"recovery": recovery, "state": recovery.get_state_display()}
    with transaction.atomic():
        recovery.save()
        record(recovery.requested_by, f"backups.restore.{state}", recovery, message=recovery.message)
        tell(Event.SUCCESS if good else Event.FAILURE, title, recovery.message)


def ended(job: Job) -> None:
    """After a job that did not end by itself: a worker lost in the middle leaves production stopped."""
    unfinished = Recovery.objects.filter(
        pk=job.subject, state__in=[Recovery.State.WAITING, Recovery.State.RUNNING]
    )
    state = Recovery.State.LOST if job.state == State.LOST else Recovery.State.CANCELLED
    hint = job.hint
    if unfinished.filter(state=Recovery.State.RUNNING, place=Recovery.Place.PRODUCTION).exists():
        hint = _(
            "The application may still be stopped, and half restored. Restore again, then start it by hand."
        )
    left = Set.State.LOST if state == Recovery.State.LOST else Set.State.CANCELLED
    for safety in Set.objects.filter(pk__in=Recovery.objects.filter(pk=job.subject).values("safety_set")):
        abandon(safety, job, left)
    unfinished.update(state=state, finished_at=timezone.now(), message=job.message, hint=hint)
