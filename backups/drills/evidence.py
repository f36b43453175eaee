"""The evidence of a drill: a text that says what was done and found, signed as sets are.

Anybody can check it with OpenSSL alone, with the public key of the recovery kit:

    openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in drill-7.json -sigfile drill-7.json.sig

It is kept on the row, and beside the set's own records at its destinations, where what names tables or people is
encrypted like the set's details.
"""

import base64
import hashlib
import io
import json
import logging
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from backups.models import Copy, Drill, Set
from backups.storage import publish, records, signing
from backups.storage.recording import sealed
from drcenter.errors import OperationFailed

logger = logging.getLogger(__name__)

VERSION = 1
COMMAND = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in {name} -sigfile {name}.sig"


def sign(drill: Drill) -> None:
    """Put the evidence on the row, which is saved by the caller. It says what the row says, once its end is known.

    Raises OperationFailed when the signing key cannot be used.
    """
    key = publish.signing_key()
    text = json.dumps(_told(drill, key.fingerprint), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    drill.evidence, drill.signing_key = text, key.fingerprint
    drill.evidence_sha256 = hashlib.sha256(text.encode()).hexdigest()
    drill.signature = base64.b64encode(key.sign(text.encode())).decode()


def holds(drill: Drill) -> bool | None:
    """Whether the signature on the row is that of this installation; None when another key signed it, or nobody."""
    key = publish.signing_key()
    if not drill.evidence or drill.signing_key != key.fingerprint:
        return None
    try:
        signature = base64.b64decode(drill.signature, validate=True)
    except ValueError:
        return False
    return signing.verify(key.public_pem, drill.evidence.encode(), signature)


def file_name(drill: Drill) -> str:
    return f"drill-{drill.pk}.json"


def _told(drill: Drill, fingerprint: str) -> dict[str, Any]:
    one, recovery = drill.set, drill.recovery
    return {
        "version": VERSION,
        "what": "drill",
        "drill": drill.pk,
        "product": f"DR Center {version('drcenter')}",
        "signing_key": fingerprint,
        "system": drill.system.slug,
        "set": one.identifier if one else None,
        "set_moment": _time(one.moment) if one else None,
        "set_checksums_sha256": one.checksums_sha256 if one else None,
        "destination": recovery.copy.destination.name if recovery else None,
        "requested_by": drill.requested_by,
        "requested_at": _time(drill.created_at),
        "planned_at": _time(drill.planned_at),
        "started_at": _time(drill.started_at),
        "finished_at": _time(drill.finished_at),
        "outcome": drill.outcome,
        "message": drill.message,
        "sources": drill.sources,
        "steps": recovery.steps if recovery else [],
        "differences": recovery.differences if recovery else [],
        "checks": drill.checks,
        "rows": drill.counts,
        "achieved_rto_seconds": drill.machine_seconds,
        "waited_seconds": drill.waited_seconds,
        "achieved_rpo_seconds": drill.lost_seconds,
        "classes": drill.classes,
        "reservations": drill.reservations,
    }


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def outstanding() -> QuerySet[Drill]:
    """Drills with evidence that is not stored beside their set yet."""
    ended = Drill.objects.exclude(evidence="").filter(recorded_at=None, set__state=Set.State.COMPLETE)
    return ended.filter(set__foreign=False).select_related("set__system").order_by("pk")


def store_due() -> None:
    """A tick: store what is outstanding. A destination that is away gets it later."""
    now = timezone.now()
    for drill in outstanding()[:20]:
        try:
            store(drill, now)
        except OperationFailed as error:
            logger.warning("drill %s: its evidence is not stored yet: %s", drill.pk, error)


def store(drill: Drill, now: datetime) -> None:
    """Store the evidence beside every complete copy of the set. Raises OperationFailed; then none counts as stored."""
    copies = drill.set.copies.filter(state=Copy.State.COMPLETE) if drill.set else Copy.objects.none()
    waiting = copies.filter(destination__retry_at__gt=now)
    for copy in copies.exclude(pk__in=waiting).select_related("destination", "set__system"):
        _put(drill, copy)
    if not waiting.exists():
        Drill.objects.filter(pk=drill.pk).update(recorded_at=timezone.now())


def _put(drill: Drill, copy: Copy) -> None:
    key, one = publish.signing_key(), copy.set
    public = {
        "drill": {
            "number": drill.pk, "outcome": drill.outcome, "started_at": _time(drill.started_at),
            "finished_at": _time(drill.finished_at), "evidence_sha256": drill.evidence_sha256,
            "achieved_rto_seconds": drill.machine_seconds, "achieved_rpo_seconds": drill.lost_seconds,
        }
    }  # fmt: skip
    private = {"drill": {"evidence": drill.evidence, "signature": drill.signature}}
    record = records.Record(
        one.system.slug, one.identifier, copy.destination.name, timezone.now(), key.fingerprint, public,
        sealed(one, private),
    )  # fmt: skip
    content = record.to_bytes(key.sign)
    copy.destination.build().put(one.prefix + record.name, io.BytesIO(content), expected_size=len(content))
