"""Writes again what is damaged beside the data of a copy: restore.sh, RESTORE.md, log.txt.

Byte for byte as they were published and signed, from another copy, or made anew where the manifest and the catalogue
still give the same bytes. Nothing else is ever written, so that checksums and signature stay what they are.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.guides import guide, restore_script
from backups.models import Copy
from backups.pipe.decode import Damaged
from backups.storage import companions, layout, publish
from backups.storage.layout import Manifest
from backups.storage.readback import ReadableCopy
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.stored import in_english

KIND = "backups.mend"


def request(copy: Copy, *, requested_by: str) -> Job:
    """Ask a worker for it. Raises OperationFailed when nothing is known to be damaged there, or the data are, too."""
    if copy.state != Copy.State.COMPLETE or not copy.spoiled:
        raise OperationFailed(
            _("Nothing beside the data of this copy is known to be damaged."),
            _("Verify it first: that looks at it again."),
            permanent=True,
        )
    if copy.set.foreign:
        raise OperationFailed(_("A set of another DR Center is never changed here."), permanent=True)
    with transaction.atomic(), in_english():
        title = _("Write again what is damaged beside %(copy)s") % {"copy": copy}
        job = enqueue(KIND, copy.pk, target=f"copy:{copy.pk}", title=title, requested_by=requested_by)
        record(requested_by, "backups.mend.requested", copy, names=copy.spoiled)
    return job


def mend_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. What could not be written again is named; the rest was."""
    copy = Copy.objects.select_related("set__system", "set__plan", "destination").get(pk=pk)
    if copy.state != Copy.State.COMPLETE:
        raise OperationFailed(_("This copy is not complete any more."), permanent=True)
    place = copy.destination.build()
    digests, manifest = companions.published(ReadableCopy(place, copy.set.prefix), copy.set)
    left = []
    for name in companions.known(copy.spoiled):
        context.phase(_("writing again"), name)
        content = _content(copy, name, digests.get(name, ""), manifest)
        if content is None:
            left.append(name)
            continue
        context.check()
        place.put(copy.set.prefix + name, io.BytesIO(content), expected_size=len(content))
        if _digest(ReadableCopy(place, copy.set.prefix), name) != digests[name]:
            left.append(name)
    _conclude(context, copy, left)


def _conclude(context: JobContext, copy: Copy, left: list[str]) -> None:
    mended = [name for name in copy.spoiled if name not in left]
    with transaction.atomic():
        Copy.objects.filter(pk=copy.pk).update(spoiled=left)
        if mended:
            record(context.job.requested_by, "backups.mend.done", copy, names=mended)
    if left:
        raise OperationFailed(
            _("No bytes with the published digest were found for: %(names)s.") % {"names": ", ".join(left)},
            _("The data are not affected. Copy the set anew from another destination, or take a new one."),
            permanent=True,
        )


def _content(copy: Copy, name: str, digest: str, manifest: Manifest) -> bytes | None:
    return next((one for one in _candidates(copy, name, manifest) if _is(one, digest)), None)


def _candidates(copy: Copy, name: str, manifest: Manifest) -> Iterator[bytes]:
    """Of other copies, then made anew: with another version of the product that may give other bytes."""
    others = copy.set.copies.filter(state=Copy.State.COMPLETE).exclude(pk=copy.pk)
    for other in others.select_related("destination"):
        try:
            yield ReadableCopy(other.destination.build(Role.READ), copy.set.prefix).content(name)
        except (OperationFailed, Damaged):
            continue
    if name == layout.SCRIPT:
        yield restore_script.script(manifest).encode()
    if name == layout.GUIDE:
        yield from (guide.text(manifest, known).encode() for known in _known(copy))


def _known(copy: Copy) -> Iterator[guide.Known]:
    """What the guide said besides the manifest when the set was taken, as far as the catalogue still knows it."""
    plan = copy.set.plan
    if plan is None or not copy.set.encrypted:
        return  # The places of its sources stand in it, which may be others by now.
    names = tuple(plan.destinations.filter(enabled=True).order_by("name").values_list("name", flat=True))
    before: Mapping[str, Any] = {"finished_at__lt": copy.set.finished_at} if copy.set.finished_at else {}
    for proof in (
        publish.last_proof(plan, **before),
        publish.last_proof(plan, copy__set__lt=copy.set_id),
        None,
    ):
        yield guide.Known({}, names, proof)


def _digest(copy: ReadableCopy, name: str) -> str:
    return hashlib.sha256(copy.content(name)).hexdigest()


def _is(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest
