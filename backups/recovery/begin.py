"""Begins what was approved: the run itself, or the resuming or undoing of one that broke off."""

from django.db import transaction
from django.utils.translation import gettext as _

from backups.models import Recovery, Set
from backups.recovery import approval, identities, kinds
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import enqueue
from drcenter.secrets import Secret
from drcenter.stored import in_english

# What an act can begin from.
FROM = {
    Recovery.Act.RUN: (Recovery.State.APPROVED,),
    # The application may be stopped, and half restored.
    Recovery.Act.RESUME: approval.BROKEN_OFF,
    Recovery.Act.UNDO: approval.BROKEN_OFF,
}


def begin(
    row: Recovery, *, actor: str, identity: Secret | None = None, act: str = Recovery.Act.RUN
) -> Recovery:
    """Hand it to a worker. Once: a second call finds that it has begun.

    Raises OperationFailed where it is not approved, or would fail at once: what is spent is an approval.
    """
    row = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=row.pk)
    if row.state not in FROM[Recovery.Act(act)]:
        raise OperationFailed(
            _("It cannot begin: it is %(state)s.") % {"state": row.state_shown}, permanent=True
        )
    if act != Recovery.Act.RUN and not kinds.of(row).resumable:
        raise OperationFailed(_("A recovery of this kind is asked for anew."), permanent=True)
    approval.check(row)
    if act != Recovery.Act.UNDO:
        kinds.of(row).check(row)
    one = opened_by(row, act)
    if one is not None and one.encrypted:
        identities.check_fits(one.recipients, identity)
    with transaction.atomic():
        won = Recovery.objects.filter(pk=row.pk, state=row.state).update(
            state=Recovery.State.WAITING,
            act=act,
            attempt=row.attempt + 1,
            finished_at=None,
            message="",
            hint="",
        )
        if not won:
            raise OperationFailed(_("Somebody else has begun it just now."), permanent=True)
        row.refresh_from_db()
        _enqueue(row, actor, identity)
        record(actor, "backups.restore.begun", row, act=act, digest=row.digest)
    return row


def opened_by(row: Recovery, act: str) -> Set | None:
    """The set whose identity has to be brought; None where nothing is read."""
    if act == Recovery.Act.UNDO:
        return row.safety_set
    return row.copy.set if kinds.of(row).reads_set else None


def _enqueue(row: Recovery, actor: str, identity: Secret | None) -> None:
    with in_english():
        title = _("Restore %(set)s %(place)s") % {"set": row.copy.set, "place": row.get_place_display()}
    target = f"system:{row.copy.set.system_id}"
    row.job = enqueue(kinds.of(row).job, row.pk, target=target, title=title, requested_by=actor)
    row.save(update_fields=["job"])
    identities.bring(row.job, identity)
