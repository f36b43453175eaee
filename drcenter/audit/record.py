"""Writing to the trail."""

from typing import Any

from django.db import models, transaction

from drcenter.audit.models import Entry, Result
from drcenter.secrets import redact


def record(
    actor: str, action: str, target: models.Model | None = None, *, result: Result = Result.DONE, **facts: Any
) -> Entry:
    """Add one entry, in the transaction of the change that it tells of.

    Raises TransactionManagementError outside of a transaction: an entry that can be lost without its
    change, or the change without its entry, is no evidence. `facts` are JSON values, never secrets.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "An audit entry belongs in the transaction of its change."
        )
    return Entry.objects.create(
        actor=actor[:200],
        action=action,
        object_type=target._meta.label if target is not None else "",
        object_id=str(target.pk) if target is not None else "",
        object_name=redact(str(target))[:300] if target is not None else "",
        result=result,
        facts={name: redact(value) if isinstance(value, str) else value for name, value in facts.items()},
    )
