"""Stops the removing where the picture is implausible, tells people, and lets it go on when one of them says why.

A freeze stays until then, also when the picture looks plausible again: whoever wants to have sets removed would make
it look so.
"""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.keep import retention_words
from backups.keep.doubts import Found
from backups.keep.keeping import Forecast
from backups.models import Destination, Freeze, Plan
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.notify.deliver import tell
from drcenter.notify.models import Event


def freeze_plan(plan: Plan, found: Sequence[Found]) -> Freeze:
    """Remove nothing of this plan any more. One that is frozen already stays as it is, and nobody is told again."""
    title = format_lazy(gettext_lazy("{plan}: nothing is removed any more"), plan=plan)
    return _freeze(title, retention_words.stored(found), plan=plan)


def freeze_destination(destination: Destination, text: str) -> Freeze:
    """Remove nothing of any plan that has copies there: after a rebuild, say. `text`: a sentence, in English."""
    title = format_lazy(gettext_lazy("{destination}: nothing is removed any more"), destination=destination)
    return _freeze(title, [{"text": text}], destination=destination)


def _freeze(title: str | Promise, reasons: list[dict[str, Any]], **what: Plan | Destination) -> Freeze:
    try:
        with transaction.atomic():
            if (known := Freeze.objects.open().filter(**what).first()) is not None:
                return known
            made = Freeze.objects.create(reasons=reasons, **what)
            record("system", "backups.prune.frozen", made, reasons=reasons)
            tell(Event.FAILURE, title, retention_words.told(reasons))
    except IntegrityError:
        return Freeze.objects.open().get(**what)  # Somebody else was faster, and has told.
    return made


def thaw(freeze: Freeze, *, reason: str, actor: str, seen: Forecast | None = None) -> None:
    """Let the removing go on. While the doubts last, only what the person saw in `seen` goes.

    Raises OperationFailed without a reason, and for a freeze that has ended.
    """
    if not reason.strip():
        raise OperationFailed(_("Say why removing may go on: the audit trail keeps it."), permanent=True)
    with transaction.atomic():
        frozen = Freeze.objects.open().filter(pk=freeze.pk)
        won = frozen.update(
            thawed_at=timezone.now(), thawed_by=actor, thaw_reason=reason.strip()[:300],
            approved=seen.leaving if seen else [],
        )  # fmt: skip
        if not won:
            raise OperationFailed(_("This freeze has ended already."), permanent=True)
        record(
            actor,
            "backups.prune.thawed",
            freeze,
            reason=reason.strip(),
            sets=len(seen.leaving) if seen else 0,
        )


def approved(forecast: Forecast) -> set[int] | None:
    """The sets that a person has agreed to remove in spite of these very doubts; None if nobody has."""
    last = Freeze.objects.filter(plan=forecast.plan).order_by("-pk").first()
    if last is None or last.thawed_at is None:
        return None
    accepted = {reason.get("doubt") for reason in last.reasons}
    left = set(last.approved) & set(forecast.leaving)
    return left if left and {one.doubt.value for one in forecast.doubts} <= accepted else None
