"""Rebuilds the catalogue from a destination: finds every set, copy and verification from the storage alone.

Nothing in storage is changed. What the catalogue knows already stays; what it lacks is added, so that it may run
twice, and beside a catalogue that is alive. Afterwards pruning waits for a person, and so does the schedule of the
plans that were made: the machine that was lost may not be lost.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import pyrage
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.models import Destination, Plan, Rebuild, Signer
from backups.rebuild.logs import Logs
from backups.rebuild.read import folders, public_keys, read
from backups.rebuild.report import Seen
from backups.rebuild.rows import Rows
from backups.rebuild.systems import Systems
from backups.recovery import identities
from backups.storage import signing
from backups.storage.trust import trusted
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.secrets import Secret, redact
from drcenter.stored import in_english

KIND = "backups.rebuild"
# Sets that are read and written at once; each holds its details, which may be a MiB.
BATCH = 50
# A store answers slowly, but several questions at once.
READERS = 8
# Sentences that a row keeps.
SHOWN = 500

Item = TypeVar("Item")


def request(
    destination: Destination,
    *,
    requested_by: str,
    dry_run: bool = False,
    identity: Secret | None = None,
    signing_keys: str = "",
) -> Rebuild:
    """Ask for it; a worker does it. `signing_keys`: a text with public keys, of the recovery kit for example.

    Raises OperationFailed for what is no identity or no key.
    """
    found = public_keys(signing_keys)
    if signing_keys.strip() and not found:
        raise OperationFailed(
            _("This text holds no public key."),
            _("It begins with -----BEGIN PUBLIC KEY-----; the text of the whole recovery kit will do."),
            permanent=True,
        )
    with transaction.atomic():
        wanted = Rebuild.objects.create(
            destination=destination, dry_run=dry_run, requested_by=requested_by[:150]
        )
        for pem in found:
            _trust(pem, requested_by)
        with in_english():
            title = _("Rebuild the catalogue from %(destination)s") % {"destination": destination}
        wanted.job = enqueue(
            KIND, wanted.pk, target=f"destination:{destination.pk}", title=title, requested_by=requested_by
        )
        wanted.save(update_fields=["job"])
        identities.bring(wanted.job, identity)
        record(
            requested_by, "backups.rebuild.requested", wanted, destination=destination.name, dry_run=dry_run
        )
    return wanted


def _trust(pem: str, actor: str) -> None:
    """From now on its sets are ours."""
    fingerprint = signing.fingerprint(pem)
    _row, new = Signer.objects.get_or_create(fingerprint=fingerprint, defaults={"public_pem": pem})
    if new:
        record(actor, "backups.signer.trusted", _row, fingerprint=fingerprint)


def rebuild_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind."""
    waiting = Rebuild.objects.filter(pk=pk, state=Rebuild.State.WAITING)
    if not waiting.update(state=Rebuild.State.RUNNING, job=context.job):
        raise OperationFailed(_("This rebuild is not waiting any more."), permanent=True)
    wanted = Rebuild.objects.select_related("destination").get(pk=pk)
    if wanted.destination is None:
        raise OperationFailed(_("Its destination does not exist any more."), permanent=True)
    keys = identities.brought(context.job)
    _run(context, wanted, wanted.destination, keys)


def _run(
    context: JobContext, wanted: Rebuild, destination: Destination, keys: Sequence[pyrage.x25519.Identity]
) -> None:
    seen = Seen(Rows(destination, Systems(), dry_run=wanted.dry_run), with_identity=bool(keys))
    place, trust = destination.build(Role.READ), trusted()
    context.phase(_("reading the sets"), destination.name)
    with ThreadPoolExecutor(READERS, "rebuild") as pool:
        for batch in _batches(folders(place, seen.foreign), BATCH):
            readings = list(pool.map(lambda folder: read(place, folder, trust, keys), batch))
            context.check()
            seen.rows.take(readings)
            seen.note_links(readings)
            context.phase(_("reading the sets"), f"{destination.name}: {seen.folders}")
    context.phase(_("reading the archived logs"), destination.name)
    Logs(place, destination, trust, keys, seen.rows).find()
    with transaction.atomic():
        if not wanted.dry_run:
            seen.rows.systems.complete()
        _conclude(wanted, seen)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _conclude(wanted: Rebuild, seen: Seen) -> None:
    systems, counts = seen.rows.systems, +seen.rows.counts
    counts["foreign files"] = len(seen.foreign)
    wanted.counts = dict(counts)
    wanted.bare = {kind: keys for kind, keys in systems.bare.items() if keys}
    wanted.plans = [row.pk for row in systems.made if isinstance(row, Plan)]
    added = any(name.split()[-1] in ADDED for name in counts)
    wanted.changed = not wanted.dry_run and (added or bool(systems.made))
    wanted.findings = [redact(text) for text in seen.told()][:SHOWN]
    wanted.state, wanted.finished_at = Rebuild.State.DONE, timezone.now()
    wanted.save()
    record(wanted.requested_by, "backups.rebuild.done", wanted, counts=wanted.counts, changed=wanted.changed)


ADDED = frozenset({"added", "back", "adopted", "completed"})


# ---------------------------------------------------------------------------- afterwards


def confirm(one: Rebuild, actor: str) -> None:
    """A person has looked: pruning and the schedule go on."""
    with transaction.atomic():
        fresh = Rebuild.objects.filter(pk=one.pk, confirmed_at=None)
        if fresh.update(confirmed_at=timezone.now(), confirmed_by=actor[:150]):
            record(actor, "backups.rebuild.confirmed", one)
            Plan.objects.filter(pk__in=one.plans).update(last_planned_at=timezone.now())


def ended(job: Job) -> None:
    """After a job: the identity is gone; a rebuild that did not come to an end has failed. What it added stays."""
    identities.forget(job)
    open_ones = Rebuild.objects.filter(
        pk=job.subject, state__in=[Rebuild.State.WAITING, Rebuild.State.RUNNING]
    )
    open_ones.update(
        state=Rebuild.State.FAILED,
        finished_at=timezone.now(),
        message=job.message,
        hint=job.hint,
        changed=True,
    )
