"""After a lost answer to COMMIT: asks production whether the rows are as before, or as they were to become."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Recovery, RowChange
from backups.rows import changing, results
from backups.rows.session import Session
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import retold, tell
from drcenter.notify.models import Event


@dataclass
class Look:
    """Rows of production that are as they were to become, as they were before, and neither."""

    after: int = 0
    before: int = 0
    neither: int = 0

    @property
    def state(self) -> str:
        """It was one transaction: all of it, or nothing; others may have changed rows since."""
        if self.after and not self.before:
            return RowChange.State.APPLIED
        if self.before and not self.after:
            return RowChange.State.FAILED
        return RowChange.State.UNKNOWN


def settle(change: RowChange, error: OperationFailed) -> None:
    """Find out, and write it down. Where production cannot be asked, the outcome stays unknown, with how to ask."""
    try:
        found = look(change)
    except OperationFailed as silence:
        return _settled(change, RowChange.State.UNKNOWN, f"{error.message} {silence.message}")
    texts = {
        RowChange.State.APPLIED: _("The connection was lost at the end; production was asked: it was applied."),
        RowChange.State.FAILED: _("The connection was lost at the end; production was asked: nothing was applied."),
        RowChange.State.UNKNOWN: _(
            "The connection was lost at the end, and production does not tell: %(after)d rows are as they were to"
            " become, %(before)d as before, %(neither)d neither."
        ) % vars(found),
    }  # fmt: skip
    return _settled(change, found.state, texts[RowChange.State(found.state)])


def look(change: RowChange) -> Look:
    """Count the rows. Raises OperationFailed when production is out of reach."""
    found = Look()
    with (
        results.changed(changing.place_of(change)) as file,
        change.comparison.source.build().rows() as session,
    ):
        _count(found, file, session)
    return found


def _count(found: Look, file: results.Rows, session: Session) -> None:
    writings = changing.writings(file, session)
    for held in file.each("state = 'done'"):
        writing, one = writings[held.table], held.difference
        after = bool(session.count(writing.finding(one.then))) if one.then is not None else None
        before = bool(session.count(writing.finding(one.now))) if one.now is not None else None
        # A row that was to come, or to go: that the other state is absent is what tells.
        after = not before if after is None else after
        before = not after if before is None else before
        found.after += bool(after)
        found.before += bool(before and not after)
        found.neither += not after and not before


def write(  # noqa: PLR0913 - all are named
    change: RowChange, state: str, message: str, hint: str, actor: str, *, done: int = 0,
    conflicts: list[str] | None = None,
) -> None:  # fmt: skip
    """How a change ended: on its row, on that of its recovery, in the trail and the channels, or nowhere."""
    now, ends = timezone.now(), {
        RowChange.State.APPLIED: Recovery.State.SUCCEEDED, RowChange.State.CANCELLED: Recovery.State.CANCELLED,
    }  # fmt: skip
    recovery = ends.get(RowChange.State(state), Recovery.State.FAILED)
    with transaction.atomic():
        RowChange.objects.filter(pk=change.pk).update(
            state=state, message=message, hint=hint, finished_at=now, conflicts=conflicts or []
        )
        Recovery.objects.filter(rows=change).update(
            state=recovery, message=message, hint=hint, finished_at=now, differences=conflicts or []
        )
        record(actor, f"backups.rows.{state}", change, message=message, done=done, digest=change.digest)
        good = state == RowChange.State.APPLIED and not message
        tell(Event.SUCCESS if good else Event.FAILURE, str(change), retold(message, hint))


def _settled(change: RowChange, state: str, message: str) -> None:
    hint = ""
    if state == RowChange.State.UNKNOWN:
        hint = _("Ask again when production is back: manage.py recover rows %(system)s --look %(number)d") % {
            "system": change.comparison.source.system.slug, "number": change.pk}  # fmt: skip
    write(change, state, message, hint, "system")
