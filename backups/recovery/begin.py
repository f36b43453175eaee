"""Begins what was approved: the run itself, or the resuming or undoing of one that broke off."""

from django.db import transaction
from django.utils.translation import gettext as _

from backups.models import Recovery
from backups.recovery import approval, identities, kinds
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import enqueue
from drcenter.secrets import Secret
from drcenter.stored import in_english

# What an act can begin from.
FROM = {
    Recovery.Act.RUN: (Recovery.State.APPROVED,),
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
    approval.check(row)
    kinds.of(row).check(row)
    one = row.copy.set
    if one.encrypted and kinds.of(row).reads_set:
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


def _enqueue(row: Recovery, actor: str, identity: Secret | None) -> None:
    with in_english():
        title = _("Restore %(set)s %(place)s") % {"set": row.copy.set, "place": row.get_place_display()}
    target = f"system:{row.copy.set.system_id}"
    row.job = enqueue(kinds.of(row).job, row.pk, target=target, title=title, requested_by=actor)
    row.save(update_fields=["job"])
    identities.bring(row.job, identity)
