"""Over production without a second person: louder than the normal way, with a reason, and looked at afterwards."""

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import Approval, Recovery
from backups.recovery import approval
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event
from drcenter.permissions import APPROVE_RECOVERY, BREAK_GLASS, has

# A reason is a sentence: so many characters, and so many words.
SHORTEST, FEWEST_WORDS = 20, 4
REVIEW_WITHIN = timedelta(days=3)
REMIND_EVERY = timedelta(days=1)


def check_text(text: str) -> str:
    """A reason or a review, tidied. Raises OperationFailed when it says too little to be one."""
    tidy = " ".join(text.split())
    if len(tidy) < SHORTEST or len(set(tidy.lower().split())) < FEWEST_WORDS:
        raise OperationFailed(
            _("Say it in a sentence: at least %(words)d words and %(count)d characters.")
            % {"words": FEWEST_WORDS, "count": SHORTEST},
            _("Somebody else has to understand it afterwards: what happened, and why nobody could be asked."),
            permanent=True,
        )
    return tidy


def break_glass(row: Recovery, *, actor: str, user: User | None, reason: str, via: str = "panel") -> Approval:
    """Let a plan go ahead without a second person; all channels are told at once, and it waits for a review.

    `user` None: on the shell, by whoever may run commands there; that is recorded, and a user of the panel has to
    have the right. Raises OperationFailed.
    """
    text = check_text(reason)
    row = Recovery.objects.select_related("copy__set__system", "copy__destination").get(pk=row.pk)
    if user is not None and not has(user, BREAK_GLASS):
        raise approval.refused(
            row, actor, lambda: _("The right to go ahead without a second person is missing.")
        )
    if problem := approval.undecided(row):
        raise OperationFailed(problem, permanent=True)
    approval.check_unchanged(row)
    with transaction.atomic():
        found = approval.grant(
            row, Approval.Way.BREAK_GLASS, by=actor, user=user, via=via, reason=text,
            review_due_at=timezone.now() + REVIEW_WITHIN,
        )  # fmt: skip
        title = format_lazy(
            "{what}: {recovery}", what=gettext_lazy("BREAK-GLASS, production is overwritten"), recovery=row
        )
        tell(Event.ALARM, title, f"{actor}: {text}\n{approval.address_of(row)}")
    return found


def unreviewed() -> QuerySet[Approval]:
    """Break-glass that nobody has looked at yet, the oldest first."""
    found = Approval.objects.filter(way=Approval.Way.BREAK_GLASS, reviewed_at=None)
    return found.select_related("recovery__copy__set__system").order_by("pk")


def why_not_review(found: Approval, user: User) -> str:
    """Why `user` cannot review it; "" if they can."""
    if not has(user, APPROVE_RECOVERY):
        return _("The right to approve recoveries is missing.")
    if (
        found.user_id == user.pk
        or found.by.removeprefix("shell:") == user.get_username()
        or approval.is_requester(found.recovery, user)
    ):
        return _("Somebody else has to look at it than whoever broke the glass.")
    if found.reviewed_at is not None:
        return _("It was reviewed already, by %(name)s.") % {"name": found.reviewed_by}
    return ""


def review(found: Approval, *, user: User, text: str) -> None:
    """Another person has looked at what was done without a second one, and says so. Raises OperationFailed."""
    tidy = check_text(text)
    if why_not_review(found, user):
        raise approval.refused(found.recovery, user.get_username(), lambda: why_not_review(found, user))
    with transaction.atomic():
        won = Approval.objects.filter(pk=found.pk, reviewed_at=None).update(
            reviewed_at=timezone.now(), reviewed_by=user.get_username(), review=tidy
        )
        if not won:
            raise OperationFailed(_("Somebody else has reviewed it just now."), permanent=True)
        record(user.get_username(), "backups.approval.reviewed", found.recovery, reason=tidy)


def remind_due() -> None:
    """A tick: a review that is overdue is asked for once a day."""
    now = timezone.now()
    late = unreviewed().filter(review_due_at__lte=now)
    for found in late.filter(Q(reminded_at=None) | Q(reminded_at__lte=now - REMIND_EVERY)):
        with transaction.atomic():
            mine = Approval.objects.filter(pk=found.pk, reminded_at=found.reminded_at, reviewed_at=None)
            if mine.update(reminded_at=now):
                title = format_lazy(
                    "{recovery}: {what}", recovery=found.recovery,
                    what=gettext_lazy("nobody has reviewed the break-glass yet"),
                )  # fmt: skip
                tell(Event.ALARM, title, f"{found.by}: {found.reason}\n{approval.address_of(found.recovery)}")
