"""Writes down beside a set, at each of its copies, what was learned of it: so that the storage alone tells it.

A record that cannot be written now (its destination is away) is written later: the rows remember what is missing.
"""

import io
import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyrage
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from backups.destinations.base import Destination as DestinationPlugin
from backups.models import Copy, Set, Verification
from backups.storage import publish, records
from drcenter.errors import OperationFailed
from drcenter.jobs.models import OPEN

logger = logging.getLogger(__name__)

# Copies that are known, and whose destination can keep a record of them.
KEPT = (Copy.State.COMPLETE, Copy.State.DAMAGED)
ENDED = (
    Verification.State.PASSED, Verification.State.UNDECIDED, Verification.State.DAMAGED,
    Verification.State.FAILED,
)  # fmt: skip


def outstanding() -> QuerySet[Copy]:
    """Copies of our complete sets beside which something is not written yet. What still runs is left alone."""
    unwritten = Verification.objects.filter(copy=OuterRef("pk"), state__in=ENDED, recorded_at=None)
    copies = Copy.objects.filter(state__in=KEPT, set__state=Set.State.COMPLETE, set__foreign=False)
    copies = copies.exclude(set__job__state__in=OPEN).filter(Q(recorded_at=None) | Exists(unwritten))
    return copies.select_related("set__system", "destination").order_by("pk")


def after_job(of_copies: Q) -> None:
    """After a job that took or checked a set: record what it learned. A destination that is away gets it later,
    from the job that makes up for copies."""
    now = timezone.now()
    for copy in outstanding().filter(of_copies).exclude(destination__retry_at__gt=now):
        try:
            record_news(copy)
        except OperationFailed as error:
            logger.warning("%s: what was learned of it is not recorded there yet: %s", copy, error)


def record_news(copy: Copy) -> None:
    """Write what is new of the copy beside it: each verification that is not recorded, in their order; or how the
    set stands, where there is none. Raises OperationFailed."""
    one, place = copy.set, copy.destination.build()
    fresh: list[Verification | None] = list(
        copy.verifications.filter(state__in=ENDED, recorded_at=None).order_by("pk")
    )
    for verification in fresh or [None]:
        at = write(one, copy, place, verification)
        with transaction.atomic():
            if verification is not None:
                Verification.objects.filter(pk=verification.pk).update(recorded_at=at)
            Copy.objects.filter(pk=copy.pk).update(recorded_at=at)
            Set.objects.filter(pk=one.pk).update(recorded_at=at)


def write(one: Set, copy: Copy, place: DestinationPlugin, verification: Verification | None) -> datetime:
    """Store one record; returns its time. Raises OperationFailed."""
    key = publish.signing_key()
    public, private = _told(one, copy, verification)
    record = records.Record(
        one.system.slug, one.identifier, copy.destination.name, timezone.now(), key.fingerprint,
        public, sealed(one, private),
    )  # fmt: skip
    content = record.to_bytes(key.sign)
    place.put(one.prefix + record.name, io.BytesIO(content), expected_size=len(content))
    return record.at


# {where: (in the clear, private)}, by the names of the columns.
SET = (
    ("planned_at", "created_at", "finished_at", "level", "capped", "apart"),
    (
        "level_reason",
        "findings",
        "timings",
        "moments",
        "spread",
        "made_with",
        "partial",
        "tables",
        "message",
        "hint",
    ),
)
COPY = (("state", "level", "verified_at", "spoiled"), ("message",))
VERIFICATION = (
    ("wanted", "reached", "state", "created_at", "started_at", "finished_at"),
    ("requested_by", "message", "hint", "differences", "facts"),
)


def _told(one: Set, copy: Copy, verification: Verification | None) -> tuple[dict[str, Any], dict[str, Any]]:
    public, private = {}, {}
    rows: list[tuple[str, Any, tuple[tuple[str, ...], ...]]] = [("set", one, SET), ("copy", copy, COPY)]
    if verification is not None:
        rows.append(("verification", verification, VERIFICATION))
    for name, row, columns in rows:
        public[name] = _values(row, columns[0])
        private[name] = _values(row, columns[1])
    return public, private


def _values(row: Any, columns: tuple[str, ...]) -> dict[str, Any]:
    """As JSON gives them back; a datetime with its microseconds."""
    return {
        name: value.isoformat() if isinstance(value := getattr(row, name), datetime) else value
        for name in columns
    }


def sealed(one: Set, private: dict[str, Any]) -> str | dict[str, Any]:
    """What a record keeps as `private`: encrypted to the set's keys, unless the set is not."""
    return sealed_to(one.recipients if one.encrypted else [], private)


def sealed_to(keys: Sequence[str], private: dict[str, Any]) -> str | dict[str, Any]:
    """`private` as the text of an age file to these recipients; as it is, for none."""
    if not keys:
        return private
    recipients = [pyrage.x25519.Recipient.from_str(key) for key in keys]
    text = json.dumps(private, cls=DjangoJSONEncoder).encode()
    return str(pyrage.encrypt(text, recipients, armored=True), "ascii")


def opened(record: records.Record, identities: list[pyrage.x25519.Identity]) -> dict[str, Any] | None:
    """What is private in a record; None when none of `identities` opens it."""
    if not isinstance(record.private, str):
        return dict(record.private)
    try:
        found = json.loads(pyrage.decrypt(record.private.encode(), identities))
    except (pyrage.DecryptError, ValueError):
        return None
    return found if isinstance(found, dict) else None
