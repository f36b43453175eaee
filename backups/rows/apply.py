"""Puts rows back into production, or undoes that: in one transaction, each under the condition that it is as shown.

The file of a change is brought to the disk, with what was done, before COMMIT: what was applied can be undone, and
after a lost answer production can be asked which of both it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.models import Recovery, RowChange
from backups.recovery import approval
from backups.rows import changing, outcome, results
from backups.rows.merge import Kind
from backups.rows.results import Held, Rows
from backups.rows.session import OutcomeUnknown, Refused, Session
from backups.rows.statements import Writing
from backups.rows.values import shown
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job
from drcenter.secrets import redact

KIND = "backups.rows.apply"
# Conflicts that are listed.
SHOWN = 100
LOOK_EVERY = 200
OPEN = (RowChange.State.PLANNED, RowChange.State.RUNNING, RowChange.State.COMMITTING)
# The kind of the recovery.
ROWS = "rows"


class Conflicts(OperationFailed):
    """Rows of production are not as they were shown: nothing was applied."""


def to_type(change: RowChange) -> str:
    """What a person types before production is written to: "shop@db1"."""
    source = change.comparison.source
    return f"{source.system.slug}@{source.build().host}"


def request(
    change: RowChange, *, typed_host: str, requested_by: str, user: User | None, reason: str = ""
) -> Recovery:
    """Ask for what was planned: it waits for a second person (backups/recovery/approval.py). Raises OperationFailed,
    and records it, unless `to_type` was typed."""
    wanted = to_type(change)
    if typed_host.strip() != wanted:
        with transaction.atomic():
            record(
                requested_by, "backups.rows.refused", change, result=Result.REFUSED, typed=typed_host[:100]
            )
        raise OperationFailed(
            _("What was typed is not the system and the host of the target."),
            _("Type exactly: %(words)s") % {"words": wanted}, permanent=True,
        )  # fmt: skip
    with transaction.atomic():
        held = RowChange.objects.select_for_update().get(pk=change.pk)
        if held.state != RowChange.State.PLANNED or held.recovery_id is not None:
            raise OperationFailed(_("This was asked for already."), permanent=True)
        held.recovery = approval.plan(
            ROWS, held.comparison.copy, sources=[held.comparison.source], requested_by=requested_by, user=user,
            reason=reason, typed_host=typed_host, payload=_payload(held),
        )  # fmt: skip
        held.save(update_fields=["recovery"])
    return held.recovery


def _payload(change: RowChange) -> dict[str, Any]:
    """What is approved: the digest stands for every statement, and for how they are run."""
    return {
        "change": change.pk, "table": change.comparison.table_now, "statements_sha256": change.digest,
        "statements": change.counts, "skip_conflicts": change.skip_conflicts,
        "without_triggers": change.without_triggers, "undo_of": change.undo_of_id,
    }  # fmt: skip


def describe(recovery: Recovery) -> list[str]:
    """What will happen, in order, one sentence each."""
    return sentences(recovery.rows)


def sentences(change: RowChange) -> list[str]:
    """What the change will do, in order, one sentence each."""
    lines = [
        f"{table}: " + ", ".join(f"{count} {verb}" for verb, count in verbs.items())
        for table, verbs in change.counts.items()
    ]
    conflicts = _("Rows that are not as they were shown any more are left out.")
    if not change.skip_conflicts:
        conflicts = _("If one row is not as it was shown any more, nothing is applied.")
    lines += [conflicts, _("All in one transaction; what undoes it is kept for 30 days."), *change.notes]
    if change.without_triggers:
        lines.append(_("Triggers of the tables do not act, and foreign keys are not checked."))
    return lines


def check_before(recovery: Recovery) -> None:
    """Raises OperationFailed when the statements are not there any more."""
    if not changing.place_of(recovery.rows).exists():
        raise OperationFailed(_("Its statements have been removed. Plan it again."), permanent=True)


def apply_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind: one attempt, never a second one by itself."""
    waiting = Recovery.objects.filter(pk=pk, state=Recovery.State.WAITING)
    if not waiting.update(state=Recovery.State.RUNNING, started_at=timezone.now(), job=context.job):
        raise OperationFailed(_("This recovery is not waiting any more."), permanent=True)
    change = RowChange.objects.select_related("comparison__source__system", "recovery").get(recovery=pk)
    RowChange.objects.filter(pk=change.pk).update(state=RowChange.State.RUNNING)
    try:
        written = _apply(context, change)
    except OutcomeUnknown as error:
        outcome.settle(change, error)
        change.refresh_from_db()
        if change.state == RowChange.State.APPLIED:
            return
        raise OperationFailed(change.message, change.hint, permanent=True) from error
    except BaseException as error:
        _conclude(change, *_failed(error))
        raise
    _conclude(change, RowChange.State.APPLIED, written.left_out(), "", done=written.done)


def _apply(context: JobContext, change: RowChange) -> "Written":
    source = change.comparison.source
    if change.recovery is None:
        raise OperationFailed(_("Nobody has asked for it."), permanent=True)
    approval.require(change.recovery, [source])
    with results.changed(changing.place_of(change)) as file, source.build().rows(write=True) as session:
        context.phase(_("checking the statements"), source.name)
        _check_unchanged(change, file, session)
        written = Written(context, change, file, session)
        with session.transaction(quiet=change.without_triggers):
            try:
                written.write()
            finally:
                change.conflicts = written.conflicts[:SHOWN]
            # From here the file says what was done, wherever this process dies.
            file.commit()
            context.sure()
            _committing(change)
        return written


def _check_unchanged(change: RowChange, file: Rows, session: Session) -> None:
    approved = (change.recovery.plan if change.recovery else {}).get("payload", {}).get("statements_sha256")
    if not changing.digest(file, session) == change.digest == approved:
        raise OperationFailed(
            _("The statements are not those that were shown."), _("Plan them again."), permanent=True
        )
    for name in change.counts:
        if not session.shape(name).transactional:
            raise OperationFailed(
                _("The table %(table)s knows no transactions: nothing can be put back into it, only exported.")
                % {"table": name}, permanent=True,
            )  # fmt: skip


def _committing(change: RowChange) -> None:
    mine = RowChange.objects.filter(pk=change.pk, state=RowChange.State.RUNNING)
    if not mine.update(state=RowChange.State.COMMITTING):
        raise OperationFailed(_("Another attempt has taken this job over; this one stops."), permanent=True)


@dataclass
class Written:
    """What one transaction wrote."""

    context: JobContext
    change: RowChange
    file: Rows
    session: Session
    done: int = 0
    conflicts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._writings = changing.writings(self.file, self.session)
        self._numbers = 0

    def write(self) -> None:
        """Write all rows. Raises Conflicts, so that nothing is applied, unless those may be left out."""
        self.context.phase(_("putting rows back"), self.change.comparison.table_now)
        waiting = list(self._round(self.file.each()))
        # What a foreign or unique key refused may fit after the others: as long as some do.
        while waiting:
            left = list(self._round(held for held, _why in waiting))
            if len(left) == len(waiting):
                for held, why in left:
                    self._conflict(held, why)
                break
            waiting = left
        if self.conflicts and not (self.change.skip_conflicts and self.done):
            raise Conflicts(
                ngettext(
                    "%(count)d row is not as it was shown, so nothing was applied: %(first)s",
                    "%(count)d rows are not as they were shown, so nothing was applied: %(first)s",
                    len(self.conflicts),
                ) % {"count": len(self.conflicts), "first": self.conflicts[0]},
                _("Compare again, or leave out the rows with conflicts."), permanent=True,
            )  # fmt: skip

    def _round(self, rows: Iterable[Held]) -> Iterator[tuple[Held, str]]:
        """Those that the server refused, and why."""
        for held in rows:
            self._numbers += 1
            if self._numbers % LOOK_EVERY == 0:
                self.context.check()
            try:
                if why := self._one(held):
                    self._conflict(held, why)
                else:
                    self.done += 1
                    self.file.mark_state(held.id, "done")
            except Refused as error:
                linked = _("a row that it refers to is missing, or others refer to it")
                yield held, f"{linked} ({error.message})" if error.linked else error.message

    def _one(self, held: Held) -> str:
        """Write one row; why it could not be, "" if it was."""
        writing, one = self._writings[held.table], held.difference
        if one.kind == Kind.ADDED and (count := self._referring(held, writing)):
            return ngettext("%(count)d row refers to it", "%(count)d rows refer to it", count) % {
                "count": count
            }
        matched = self.session.execute(writing.statement(one))
        if matched == 0:
            return self._why(held, writing)
        if matched > 1:
            raise OperationFailed(
                _("A statement for one row of %(table)s would have changed %(count)d; nothing was applied.")
                % {"table": held.table, "count": matched},
                _("Compare by a key that tells rows apart."), permanent=True,
            )  # fmt: skip
        if one.then is not None and not self.session.count(writing.finding(one.then)):
            raise OperationFailed(
                _("%(row)s is not what was written: a trigger or the column's type changes it. Nothing was applied.")
                % {"row": named(held, writing)},
                _("Leave the row out, export it, or go on without triggers where the server can."), permanent=True,
            )  # fmt: skip
        return ""

    def _why(self, held: Held, writing: Writing) -> str:
        one = held.difference
        if one.kind == Kind.DELETED:
            return _("there is a row with this key by now")
        key = one.now or ()
        if writing.key and not self.session.count(writing.in_the_way(key)):
            return _("it is gone by now")
        return _("it was changed since it was shown")

    def _referring(self, held: Held, writing: Writing) -> int:
        """Rows of other tables that would be deleted or changed with this one, unseen."""
        values, found = held.difference.now or (), 0
        names = [column.name for column in writing.columns]
        for link in self.session.shape(held.table).children:
            if link.table == held.table or not set(link.others) <= set(names):
                continue
            columns = self.session.shape(link.table)
            child = Writing(
                self.session.dialect, link.table, tuple(columns.column(name) for name in link.columns),
                tuple(range(len(link.columns))),
            )  # fmt: skip
            found += self.session.count(
                child.in_the_way(tuple(values[names.index(name)] for name in link.others))
            )
        return found

    def _conflict(self, held: Held, why: str) -> None:
        self.file.mark_state(held.id, "conflict")
        self.file.note(held.id, why)
        self.conflicts.append(f"{named(held, self._writings[held.table])}: {why}")

    def left_out(self) -> str:
        count = len(self.conflicts)
        text = ngettext("%(count)d row was left out.", "%(count)d rows were left out.", count)
        return text % {"count": count} if count else ""


def named(held: Held, writing: Writing) -> str:
    """A row for people: orders id=5."""
    values = held.difference.then or held.difference.now or ()
    places = writing.key or range(min(3, len(values)))
    pairs = ", ".join(f"{writing.columns[at].name}={shown(values[at], 40)}" for at in places)
    return f"{held.table} {pairs}"


def _failed(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, Cancelled):
        return RowChange.State.CANCELLED, _("Stopped on request."), ""
    state = RowChange.State.CONFLICTS if isinstance(error, Conflicts) else RowChange.State.FAILED
    message = str(getattr(error, "message", "")) or f"{type(error).__name__}: {error}"
    return state, redact(message), redact(str(getattr(error, "hint", "")))


def _conclude(change: RowChange, state: str, message: str, hint: str, done: int = 0) -> None:
    outcome.write(change, state, message, hint, change.requested_by, done=done, conflicts=change.conflicts)


def ended(job: Job) -> None:
    """After every end of a job: a change whose worker died in the middle is asked after in production."""
    unfinished = (Recovery.State.WAITING, Recovery.State.RUNNING)
    rows = RowChange.objects.filter(recovery=job.subject, recovery__job=job, recovery__state__in=unfinished)
    for change in rows.select_related("comparison__source", "recovery"):
        if change.state == RowChange.State.COMMITTING:
            outcome.settle(change, OperationFailed(job.message, job.hint))
            continue
        waited = change.state == RowChange.State.PLANNED
        state = RowChange.State.CANCELLED if waited else RowChange.State.FAILED
        _conclude(
            change, state, _("The worker ended before it was committed: nothing was applied."), job.hint
        )
