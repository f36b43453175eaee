"""Writing to the trail."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db import models, transaction

from drcenter.audit.models import Entry, Result
from drcenter.secrets import redact
from drcenter.stored import in_english


def record(
    actor: str, action: str, target: models.Model | None = None, *, result: Result = Result.DONE, **facts: Any
) -> Entry:
    """Add one entry, in the transaction of the change that it tells of.

    Raises TransactionManagementError outside of a transaction: an entry that can be lost without its
    change, or the change without its entry, is no evidence. `facts` are values for JSON; what JSON does not
    know is kept as text. Secrets that this process knows are taken out, at any depth.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "An audit entry belongs in the transaction of its change."
        )
    with in_english():
        name = str(target) if target is not None else ""
    return Entry.objects.create(
        actor=redact(actor)[:200],
        action=redact(action)[:100],
        object_type=target._meta.label if target is not None else "",
        object_id=str(target.pk) if target is not None else "",
        object_name=redact(name)[:300],
        result=result,
        facts=_kept(facts),
    )


def _kept(value: Any) -> Any:
    """`value` as JSON can hold it, without secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _kept(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_kept(one) for one in value]
    return redact(value.isoformat() if isinstance(value, date) else str(value))
