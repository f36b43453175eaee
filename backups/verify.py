"""Checks a copy again, at any later time: stored, intact, proven."""

from collections.abc import Mapping
from typing import Any

import pyrage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import NotThere, Role
from backups.models import Copy, Level, Part, Set, Verification
from backups.models.level import RANK, at_least
from backups.recovery import identities
from backups.storage import companions, details, readback, recording
from backups.storage.readback import Damaged, ReadableCopy
from backups.takes import chains, proof
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event
from drcenter.secrets import Secret, redact
from drcenter.stored import in_english

KIND = "backups.verify"
CHECKABLE = (Copy.State.COMPLETE, Copy.State.DAMAGED)


class NotProven(OperationFailed):
    """The restored set differs from what the source held."""


def request(copy: Copy, level: str, *, requested_by: str, identity: Secret | None = None) -> Verification:
    """Ask for a check of `copy`; a worker does it. Raises OperationFailed for what is no level or no identity."""
    if level not in Level.values:
        raise OperationFailed(_("There is no level of this name: stored, intact or proven."), permanent=True)
    if copy.state not in CHECKABLE:
        raise OperationFailed(_("This copy is not complete; there is nothing to verify."), permanent=True)
    with transaction.atomic():
        wanted = Verification.objects.create(copy=copy, wanted=level, requested_by=requested_by)
        with in_english():
            title = _("Verify %(copy)s") % {"copy": copy}
        wanted.job = enqueue(
            KIND, wanted.pk, target=f"copy:{copy.pk}", title=title, requested_by=requested_by
        )
        wanted.save(update_fields=["job"])
        identities.bring(wanted.job, identity)
        record(requested_by, "backups.verify.requested", wanted, level=level)
    return wanted


def verify_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. A damaged copy fails the job, with what is damaged."""
    verification = Verification.objects.select_related("copy__set__system", "copy__destination").get(pk=pk)
    waiting = Verification.objects.filter(pk=pk, state=Verification.State.WAITING)
    if not waiting.update(state=Verification.State.RUNNING, started_at=timezone.now(), job=context.job):
        raise OperationFailed(_("This verification is not waiting any more."), permanent=True)
    verification.refresh_from_db(fields=["state", "started_at", "job"])
    try:
        _verify(context, verification, identities.brought(context.job))
    except NotProven:
        raise  # The verification was concluded, with its differences.
    except (Damaged, NotThere) as error:
        _conclude_damaged(verification, error)
        raise
    except BaseException as error:
        _conclude_failed(verification, error)
        raise


def _verify(context: JobContext, verification: Verification, keys: list[pyrage.x25519.Identity]) -> None:
    wanted, one = RANK[verification.wanted], verification.copy.set
    if verification.copy.state not in CHECKABLE:
        raise OperationFailed(_("This copy is being removed: retention has let it go."), permanent=True)
    parts = list(one.parts.all())
    copy = ReadableCopy(
        verification.copy.destination.build(Role.READ), one.prefix, keys if one.encrypted else []
    )
    context.phase(_("looking at the store"))
    spoiled: set[str] = set()
    companions.check_there(copy, one, spoiled.add)
    for part in parts:
        with chains.naming_link(part.key):
            readback.check_stored(copy, part)
    if wanted == RANK[Level.STORED]:
        # What was found changed is not read again now.
        _note_spoiled(verification, spoiled.union(verification.copy.spoiled))
        return _conclude_good(context, verification, Level.STORED)
    digest = companions.check_digests(copy, one, spoiled.add)
    _note_spoiled(verification, spoiled)
    if one.encrypted and not keys:
        return _digests_only(context, verification, copy, parts)
    identities.needed(one.recipients, keys)
    for part in parts:
        context.phase(_("reading back"), part.key, part.plain_size)
        with chains.naming_link(part.key):
            readback.check(copy, part, context.advance)
    if wanted == RANK[Level.INTACT]:
        return _conclude_good(context, verification, Level.INTACT)
    content = chains.whole(copy, one, details.read(copy, encrypted=one.encrypted, stored_sha256=digest))
    return _prove(context, verification, copy, content)


def _note_spoiled(verification: Verification, names: set[str]) -> None:
    """What people need to restore without this product is damaged: told loudly, and the data stay what they are."""
    copy, found = verification.copy, sorted(names)
    fresh = set(found) - set(copy.spoiled)
    copy.spoiled = found
    with transaction.atomic():
        Copy.objects.filter(pk=copy.pk).update(spoiled=found)
        if fresh:
            record(verification.requested_by, "backups.copy.spoiled", copy, names=found)
            title = format_lazy(gettext_lazy("{copy}: damaged beside the data: {names}"), copy=copy, names=", ".join(found))  # fmt: skip
            tell(Event.WARNING, title, companions.SPOILED)


def _prove(
    context: JobContext, verification: Verification, copy: ReadableCopy, content: Mapping[str, Any]
) -> None:
    one = verification.copy.set
    outcome = proof.prove(context, copy, content, list(one.parts.all()))
    proof.conclude(verification, outcome)
    if outcome.differences:
        hint = _("The page of the verification lists every difference.")
        raise NotProven(verification.message, hint, permanent=True)


def _digests_only(
    context: JobContext, verification: Verification, copy: ReadableCopy, parts: list[Part]
) -> None:
    """Without an identity the stored bytes are compared with their digests; what is inside stays unread."""
    for part in parts:
        context.phase(_("reading back"), part.key, part.stored_size)
        with chains.naming_link(part.key):
            readback.check_digest(copy, part, context.advance)
    verification.state, verification.reached = Verification.State.UNDECIDED, Level.STORED
    verification.message = _(
        "Every stored byte has its digest, but the set is encrypted and no identity was at hand."
    )
    verification.hint = _("Bring the identity of the recovery kit to have it decrypted and proven.")
    verification.finished_at = timezone.now()
    with transaction.atomic():
        verification.conclude()
    Copy.objects.filter(pk=verification.copy_id).update(verified_at=verification.finished_at)


def _conclude_good(context: JobContext, verification: Verification, reached: str) -> None:
    context.check()
    verification.state, verification.reached = Verification.State.PASSED, reached
    verification.finished_at = timezone.now()
    copy = verification.copy
    heals = copy.state == Copy.State.DAMAGED and at_least(reached, Level.INTACT)
    if copy.state == Copy.State.DAMAGED and not heals:
        verification.message = _(
            "Its sizes are right. It was found damaged before; only reading it back can clear that."
        )
    with transaction.atomic():
        verification.conclude()
        copy.verified_at = verification.finished_at
        if heals:
            copy.state, copy.message = Copy.State.COMPLETE, ""
        if copy.state == Copy.State.COMPLETE and not at_least(copy.level, reached):
            copy.level = reached
        copy.save()
        if heals:
            one = Set.objects.select_for_update().get(pk=copy.set_id)
            one.level, one.level_reason = one.best_level(), proof.why_capped(one)
            one.save(update_fields=["level", "level_reason"])
            chains.tell_dependents(one, "")
        record(verification.requested_by, "backups.verify.concluded", verification, reached=reached)


def _conclude_damaged(verification: Verification, error: OperationFailed) -> None:
    """The copy is bad, and so is the set's standing unless another copy is good."""
    reason = redact(error.message)
    verification.state, verification.finished_at = Verification.State.DAMAGED, timezone.now()
    verification.message, verification.differences = reason, [reason]
    copy = verification.copy
    verification.hint = redact(f"{error.hint} {chains.what_else(copy, error)}".strip())
    with transaction.atomic():
        verification.conclude()
        copy.state, copy.level, copy.message = Copy.State.DAMAGED, "", reason
        copy.verified_at = verification.finished_at
        copy.save()
        Set.objects.filter(pk=copy.set_id).update(
            level=copy.set.best_level(), level_reason=f"{copy}: {reason}"
        )
        chains.note_link(copy, error, reason)
        chains.tell_dependents(copy.set, f"{copy}: {reason}")
        record(verification.requested_by, "backups.verify.damaged", verification, message=reason)
        title = format_lazy(gettext_lazy("{copy} is damaged"), copy=copy)
        tell(Event.FAILURE, title, retold(reason, redact(error.hint)))


def _conclude_failed(verification: Verification, error: BaseException) -> None:
    """Nothing was learned of the copy: no identity, the store is away, the check was stopped."""
    message = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    if isinstance(error, Cancelled):
        message = _("Stopped on request.")
    running = Verification.objects.filter(pk=verification.pk, state=Verification.State.RUNNING)
    running.update(
        state=Verification.State.FAILED, finished_at=timezone.now(), message=redact(message),
        hint=redact(getattr(error, "hint", "")),
    )  # fmt: skip


def ended(job: Job) -> None:
    """After a job: nothing of it is left, and a verification that it did not conclude has failed."""
    identities.forget(job)
    Verification.objects.filter(
        pk=job.subject, state__in=[Verification.State.WAITING, Verification.State.RUNNING]
    ).update(state=Verification.State.FAILED, finished_at=timezone.now(), message=job.message, hint=job.hint)
    recording.after_job(Q(verifications=job.subject))
