"""Nothing is written into production before a person other than the one who asked has approved exactly that.

`plan` writes down what would run, and its digest; `approve` is another person's word on that digest; `require` is
asked by the job, of the rows that it then uses. Whatever changed in between makes the approval void. `break_glass`
(backups/recovery/break_glass.py) is the way without a second person. docs/security.md says what this guards
against, and what not.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import Approval, Copy, Recovery, Source
from backups.recovery import contents, digest
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event
from drcenter.permissions import APPROVE_RECOVERY, has
from drcenter.stored import in_english

# Plans that may still be approved: those that wait for it, and runs that broke off and are to go on.
BROKEN_OFF = (Recovery.State.LOST, Recovery.State.DOWN)
APPROVABLE = (Recovery.State.PLANNED, *BROKEN_OFF)


def lifetime() -> timedelta:
    return timedelta(minutes=settings.APPROVAL_MINUTES)


def plan(  # noqa: PLR0913 - all are named
    kind: str, copy: Copy, *, sources: Sequence[Source], requested_by: str, user: User | None,
    payload: Mapping[str, Any] | None = None, reason: str = "", place: str = Recovery.Place.PRODUCTION,
    **fields: Any,
) -> Recovery:  # fmt: skip
    """Write down a recovery that waits for approval. Whoever may ask for it was asked before.

    `user`: the user of the panel who asks, as far as they have shown who they are; without one nobody can approve
    it, and only break-glass is left. `payload`: what the kind itself will run, as JSON; it is shown, and approved,
    as it stands. `fields`: other columns of the row.
    """
    with transaction.atomic():
        row = Recovery.objects.create(
            kind=kind, copy=copy, place=place, state=Recovery.State.PLANNED, requested_by=requested_by,
            requested_user=user, reason=reason, expires_at=timezone.now() + lifetime(),
            plan={"payload": dict(payload or {})}, **fields,
        )  # fmt: skip
        row.sources.set(sources)
        # From the rows as they are in the database: what a caller has in hand may be old.
        row = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=row.pk)
        _write_plan(row)
        record(
            requested_by, "backups.restore.requested", row, place=place, digest=row.digest, reason=reason,
            sources=[one.name for one in sources], skip_safety=row.skip_safety, skip_stop=row.skip_stop,
            user=user.get_username() if user else "",
        )  # fmt: skip
        tell(Event.REQUEST, _title(row, gettext_lazy("approval is asked for")), whose(row))
    return row


def _write_plan(row: Recovery) -> None:
    row.plan = contents.contents(row, list(row.sources.order_by("pk")))
    row.digest = digest.digest(row.plan)
    row.save(update_fields=["plan", "digest"])


def _title(row: Recovery, what: Any) -> Any:
    return format_lazy("{recovery}: {what}", recovery=row, what=what)


def whose(row: Recovery) -> str:
    """Who asked, why, and the page to go to: without words that would have to be translated."""
    return f"{row.requested_by}: {row.reason}\n{address_of(row)}"


def address_of(row: Recovery) -> str:
    """The page of a recovery, as it stands in messages."""
    return f"{settings.PANEL_URL}/admin/backups/recovery/{row.pk}/change/"


def renew(row: Recovery, *, actor: str) -> list[tuple[str, ...]]:
    """Plan a run that broke off once more, as things are now; what has changed. It has to be approved again."""
    with transaction.atomic():
        row = Recovery.objects.select_for_update().get(pk=row.pk)
        if row.state not in BROKEN_OFF:
            raise OperationFailed(_("It is %(state)s.") % {"state": row.state_shown}, permanent=True)
        before = row.plan
        row.approvals.filter(state=Approval.State.GRANTED).update(state=Approval.State.ENDED)
        _write_plan(row)
        found = digest.changes(before, row.plan)
        record(actor, "backups.restore.planned_again", row, digest=row.digest, what=contents.in_words(found))
        tell(Event.REQUEST, _title(row, gettext_lazy("approval is asked for")), whose(row))
    return found


def approve(row: Recovery, *, user: User, seen: str, via: str = "panel") -> Approval:
    """`user`, who has just shown who they are, approves the plan whose digest they have `seen`.

    Raises OperationFailed, and records it, for whoever may not, for the one who asked, for a plan that is over,
    was decided already, or is not what would run any more.
    """
    row = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=row.pk)
    if why_not(row, user):
        raise refused(row, user.get_username(), lambda: why_not(row, user))
    if row.digest != seen:
        raise refused(
            row, user.get_username(), lambda: _("The plan is another one by now: look at it again.")
        )
    check_unchanged(row)
    return grant(row, Approval.Way.SECOND, by=user.get_username(), user=user, via=via)


def why_not(row: Recovery, user: User) -> str:
    """Why `user` cannot approve this now; "" if they can."""
    if not has(user, APPROVE_RECOVERY):
        return _("The right to approve recoveries is missing.")
    if is_requester(row, user):
        return _("Nobody approves what they have asked for themselves; administrators neither.")
    if row.requested_user_id is None:
        return _(
            "Nobody knows which user of the panel asked for this. Ask again, with a name; or break-glass."
        )
    return undecided(row)


def approvers(row: Recovery) -> QuerySet[User]:
    """Who else could approve it: people of the panel with the right, without the one who asked."""
    found = User.objects.with_perm(APPROVE_RECOVERY).filter(is_active=True, is_staff=True)
    return found.exclude(pk=row.requested_user_id or 0).exclude(username=row.requested_by)


def to_type(row: Recovery) -> str:
    """What a person types who goes ahead alone: "shop@db1" for each host of the plan."""
    hosts = {str(source["host"]) for source in row.plan.get("sources", {}).values()}
    return ", ".join(sorted(f"{row.copy.set.system.slug}@{host}" for host in hosts))


def is_requester(row: Recovery, user: User) -> bool:
    """By their user, or by a name that the shell knows: it may be the same person."""
    return row.requested_user_id == user.pk or row.requested_by.removeprefix("shell:") == user.get_username()


def undecided(row: Recovery) -> str:
    """Why no decision is to be made about it any more; "" while one is."""
    if row.state not in APPROVABLE:
        return _("It waits for no approval: it is %(state)s.") % {"state": row.state_shown}
    if row.state == Recovery.State.PLANNED and row.expires_at and row.expires_at <= timezone.now():
        return _("Its time is over: ask for it again.")
    if (held := granted(row)) is not None and held.holds(timezone.now()):
        return _("It was approved already, by %(name)s.") % {"name": held.by}
    return ""


def granted(row: Recovery) -> Approval | None:
    """The approval that counts, if its time is not over; its digest still has to be compared."""
    found: Approval | None = row.approvals.filter(state=Approval.State.GRANTED).first()
    return found


def refused(row: Recovery, actor: str, why: Callable[[], str]) -> OperationFailed:
    """The error, after it was recorded; `why` says the same in the language in force."""
    with transaction.atomic(), in_english():
        record(actor, "backups.approval.refused", row, result=Result.REFUSED, reason=why())
    return OperationFailed(why(), permanent=True)


def grant(row: Recovery, way: str, *, by: str, user: User | None, via: str, **fields: Any) -> Approval:
    """The approval itself, once all was asked. One of two at once gets it; the other one an OperationFailed."""
    now = timezone.now()
    try:
        with transaction.atomic():
            row.approvals.filter(state=Approval.State.GRANTED, expires_at__lte=now).update(
                state=Approval.State.ENDED
            )
            found = Approval.objects.create(
                recovery=row,
                way=way,
                digest=row.digest,
                by=by,
                user=user,
                expires_at=now + lifetime(),
                **fields,
            )
            if row.state == Recovery.State.PLANNED and not _move(row, Recovery.State.APPROVED):
                raise IntegrityError
            record(
                by, f"backups.approval.{way}", row, digest=row.digest, via=via, reason=found.reason,
                requested_by=row.requested_by,
            )  # fmt: skip
    except IntegrityError:
        raise OperationFailed(_("Somebody else has decided about it just now."), permanent=True) from None
    return found


def _move(row: Recovery, state: str, **fields: Any) -> bool:
    """Move the row on, unless somebody else has."""
    changed = Recovery.objects.filter(pk=row.pk, state=row.state).update(state=state, **fields)
    return bool(changed)


def refuse(row: Recovery, *, user: User, why: str) -> None:
    """Say no to a plan, withdraw one's own, or take an approval back: as long as it has not begun.

    Raises OperationFailed.
    """
    actor = user.get_username()
    if not (is_requester(row, user) or has(user, APPROVE_RECOVERY)):
        raise refused(row, actor, lambda: _("The right to approve recoveries is missing."))
    with transaction.atomic():
        row = Recovery.objects.select_for_update().get(pk=row.pk)
        ended = row.approvals.filter(state=Approval.State.GRANTED).update(state=Approval.State.REVOKED)
        waits = row.state in {Recovery.State.PLANNED, Recovery.State.APPROVED}
        if waits:
            _move(row, Recovery.State.REFUSED, message=why, finished_at=timezone.now())
        if not waits and not (ended and row.state in BROKEN_OFF):
            raise OperationFailed(
                _("There is nothing to refuse: it is %(state)s.") % {"state": row.state_shown},
                _("What runs already is stopped by cancelling its job."), permanent=True,
            )  # fmt: skip
        record(actor, "backups.approval.revoked" if ended else "backups.approval.denied", row, reason=why)


def check_unchanged(row: Recovery, sources: Sequence[Source] | None = None) -> None:
    """Raises OperationFailed, and makes the plan void, when what would run is not what was written down.

    `sources`: the rows that the caller is going to use; read anew if left out.
    """
    now = _now(row, sources)
    if digest.digest(now) == row.digest:
        return
    with transaction.atomic(), in_english():
        message = _changed(row, now)
        row.approvals.filter(state=Approval.State.GRANTED).update(state=Approval.State.ENDED)
        if row.state in {Recovery.State.PLANNED, Recovery.State.APPROVED}:
            _move(row, Recovery.State.VOID, message=message, finished_at=timezone.now())
        record("system", "backups.approval.void", row, message=message, digest=digest.digest(now))
    raise OperationFailed(
        _changed(row, now), _("Ask for it again, and have it approved again."), permanent=True
    )


def _now(row: Recovery, sources: Sequence[Source] | None = None) -> dict[str, Any]:
    return contents.contents(row, list(row.sources.order_by("pk")) if sources is None else sources)


def what_changed(row: Recovery) -> str:
    """What differs from the plan by now, for people; "" if nothing does. Changes nothing."""
    try:
        return contents.in_words(digest.changes(row.plan, _now(row)))
    except OperationFailed as error:
        return error.message


def _changed(row: Recovery, now: Mapping[str, Any]) -> str:
    what = contents.in_words(digest.changes(row.plan, now))
    return _("What would run has changed since it was written down: %(what)s.") % {"what": what}


def check(row: Recovery, sources: Sequence[Source] | None = None) -> Approval:
    """The approval that `row` may begin with now. Raises OperationFailed when there is none, or not of this plan."""
    held = granted(row)
    if held is None:
        raise OperationFailed(
            _("Nobody has approved it."), _("Have it approved by another person."), permanent=True
        )
    if held.digest != row.digest:
        raise OperationFailed(_("What was approved is another plan than this."), permanent=True)
    if not held.holds(timezone.now()):
        raise OperationFailed(
            _("The approval by %(name)s has run out.") % {"name": held.by},
            _("Ask for it again, and have it approved again."), permanent=True,
        )  # fmt: skip
    check_unchanged(row, sources)
    return held


def require(row: Recovery, sources: Sequence[Source] | None = None) -> Approval:
    """The approval that `row` runs by: its job asks right before it begins, with the rows that it is going to use.

    Raises OperationFailed like `check`. From then on the time of the approval is no matter: an hour of reading does
    not stop what was begun in time.
    """
    held = check(row, sources)
    Approval.objects.filter(pk=held.pk, used_at=None).update(used_at=timezone.now())
    return held


def still_granted(held: Approval) -> None:
    """Raises OperationFailed when it was taken back meanwhile: asked again before the first thing is overwritten."""
    if not Approval.objects.filter(pk=held.pk, state=Approval.State.GRANTED).exists():
        raise OperationFailed(
            _("The approval by %(name)s was taken back.") % {"name": held.by}, permanent=True
        )


def expire_due() -> None:
    """A tick: plans that nobody approved or began in time are void, and so are approvals whose time is over."""
    now = timezone.now()
    message = "Nobody approved it, or began it, in time."
    open_plans = Recovery.objects.filter(state__in=[Recovery.State.PLANNED, Recovery.State.APPROVED])
    for row in open_plans.filter(expires_at__lte=now):
        held = granted(row)
        if held is not None and held.holds(now):
            continue
        with transaction.atomic():
            if _move(row, Recovery.State.VOID, message=message, finished_at=now):
                record("system", "backups.approval.expired", row)
    overdue = Approval.objects.filter(state=Approval.State.GRANTED, expires_at__lte=now)
    overdue.exclude(recovery__state__in=[Recovery.State.WAITING, Recovery.State.RUNNING]).update(
        state=Approval.State.ENDED
    )
