"""Pins: a person's word that a set stays, whatever the rules say, until a person says otherwise.

The word also lies in the storage, as a signed record beside every copy of the set (backups.storage.records), so that a
catalogue that is rebuilt knows it. Records are only ever added: no right to delete is needed, and a thief cannot take
a pin away; a release is a record of its own. A destination that is away gets its record later.
"""

import io
import secrets
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from backups.models import Copy, Pin, Set
from backups.storage import publish, recording
from backups.storage.records import Record
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import OPEN, Job
from drcenter.stored import in_english

KIND = "backups.pin"
PRESENT = (Copy.State.COMPLETE, Copy.State.DAMAGED)
# How long a record that could not be stored waits for the next try.
AGAIN = timedelta(hours=1)
SEALED = "the reason is encrypted: a rebuild with the identity reads it"


def pinned(one: Set) -> Pin | None:
    """The pin that keeps the set, or None."""
    return one.pins.filter(released_at=None).first()


def pin(one: Set, *, reason: str, actor: str) -> Pin:
    """Keep the set. Raises OperationFailed without a reason, and for a set that is pinned, or that is not there."""
    reason = reason.strip()[:300]
    if not reason:
        raise OperationFailed(_("Say why this set has to stay."), permanent=True)
    with transaction.atomic():
        # Locked: pruning asks for pins in the transaction in which it lets a copy go.
        row = Set.objects.select_for_update().get(pk=one.pk)
        if row.state != Set.State.COMPLETE or not row.copies.filter(state__in=PRESENT).exists():
            raise OperationFailed(_("There is no copy of this set that could be kept."), permanent=True)
        if pinned(row) is not None:
            raise OperationFailed(_("This set is pinned already."), permanent=True)
        made = Pin.objects.create(
            set=row,
            token=secrets.token_hex(8),
            reason=reason,
            pinned_at=timezone.now(),
            pinned_by=actor[:150],
        )
        record(actor, "backups.set.pinned", row, reason=reason)
        _ask(made)
    return made


def release(one: Set, *, reason: str, actor: str) -> Pin:
    """Let retention decide again. Raises OperationFailed without a reason, and for a set that is not pinned."""
    reason = reason.strip()[:300]
    if not reason:
        raise OperationFailed(_("Say why this set need not stay any more."), permanent=True)
    with transaction.atomic():
        found = one.pins.select_for_update().filter(released_at=None).first()
        if found is None:
            raise OperationFailed(_("This set is not pinned."), permanent=True)
        found.released_at, found.released_by, found.release_reason = timezone.now(), actor[:150], reason
        found.save()
        record(actor, "backups.set.unpinned", one, reason=reason)
        _ask(found)
    return found


# ---------------------------------------------------------------------------- to the storage


def _ask(one: Pin) -> Job:
    with in_english():
        title = _("Record the pin of %(set)s") % {"set": one.set}
    return enqueue(KIND, one.pk, target=f"pin:{one.pk}", title=title)


def store_due() -> None:
    """A tick: ask again for pins that some copy does not have beside it yet."""
    now = timezone.now()
    for one in outstanding().select_related("set__system"):
        jobs = Job.objects.filter(kind=KIND, subject=one.pk)
        if not jobs.filter(Q(state__in=OPEN) | Q(created_at__range=(now - AGAIN, now))).exists():
            with transaction.atomic():
                _ask(one)


def outstanding() -> QuerySet[Pin]:
    """Pins of which a record is missing beside a copy at a destination that is in use."""
    copies = Copy.objects.filter(set=OuterRef("set"), state__in=PRESENT, destination__enabled=True)
    stored = Pin.stored_at.through.objects.filter(pin=OuterRef(OuterRef("pk")), copy=OuterRef("pk"))
    released = Pin.release_stored_at.through.objects.filter(pin=OuterRef(OuterRef("pk")), copy=OuterRef("pk"))
    without = Exists(copies.filter(~Exists(stored)))
    unreleased = Q(released_at__isnull=False) & Exists(copies.filter(~Exists(released)))
    return Pin.objects.filter(without | unreleased)


def store_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed after trying every copy."""
    one = Pin.objects.select_related("set__system").get(pk=pk)
    failed: OperationFailed | None = None
    for copy in one.set.copies.filter(state__in=PRESENT, destination__enabled=True).select_related(
        "destination"
    ):
        context.phase(_("writing"), str(copy))
        try:
            _store(one, copy)
        except OperationFailed as error:
            context.log(f"{copy}: {error}", "warning")
            failed = failed or error
    if failed is not None:
        raise failed


def _store(one: Pin, copy: Copy) -> None:
    if not one.stored_at.filter(pk=copy.pk).exists():
        _write(one, copy, {"reason": one.reason, "by": one.pinned_by}, released=False)
        one.stored_at.add(copy)
    if one.released_at is not None and not one.release_stored_at.filter(pk=copy.pk).exists():
        _write(one, copy, {"reason": one.release_reason, "by": one.released_by}, released=True)
        one.release_stored_at.add(copy)


def _write(one: Pin, copy: Copy, private: dict[str, Any], *, released: bool) -> None:
    key, at = publish.signing_key(), one.released_at if released else one.pinned_at
    told = {"pin": {"token": one.token, "released": released, "at": at.isoformat() if at else ""}}
    made = Record(
        one.set.system.slug, one.set.identifier, copy.destination.name, timezone.now(), key.fingerprint,
        told, recording.sealed(one.set, {"pin": private}),
    )  # fmt: skip
    content = made.to_bytes(key.sign)
    copy.destination.build().put(one.set.prefix + made.name, io.BytesIO(content), expected_size=len(content))


# ---------------------------------------------------------------------------- from the storage


Told = Iterable[tuple[Record, Mapping[str, Any] | None]]


def has_pins(told: Told) -> bool:
    return any(isinstance(one.public.get("pin"), Mapping) for one, _private in told)


def note(copy: Copy, told: Told) -> int:
    """Rows for the pins that the records of a copy tell of, in the order of time; returns how many are new.

    The records' signatures were checked. A release without its pin is none.
    """
    added = 0
    for one, private in told:
        public = one.public.get("pin")
        if isinstance(public, Mapping) and isinstance(public.get("token"), str):
            words = (private or {}).get("pin")
            added += _note(copy, public, words if isinstance(words, Mapping) else None)
    return added


def _note(copy: Copy, public: Mapping[str, Any], words: Mapping[str, Any] | None) -> bool:
    reason, by = str((words or {}).get("reason", SEALED))[:300], str((words or {}).get("by", ""))[:150]
    at = parse_datetime(str(public.get("at"))) or timezone.now()
    known = Pin.objects.filter(token=public["token"][:40]).first()
    if known is not None and known.set_id != copy.set_id:
        return False
    if public.get("released") is True:
        if known is not None and known.released_at is None:
            known.released_at, known.release_reason, known.released_by = at, reason, by
            known.save()
        if known is not None:
            known.release_stored_at.add(copy)
        return False
    fresh = {"set": copy.set, "reason": reason, "pinned_at": at, "pinned_by": by}
    found, new = Pin.objects.get_or_create(token=public["token"][:40], defaults=fresh)
    if not new and words is not None and found.reason == SEALED:
        Pin.objects.filter(pk=found.pk).update(reason=reason, pinned_by=by)
    found.stored_at.add(copy)
    return new
