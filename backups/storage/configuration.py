"""What a set's encrypted details say of the catalogue itself: the system, the plan, where else copies are, the keys.

With it a rebuilt catalogue can take the next set. Secrets are in it by reference only, as they are in the rows.
People to call are left out of sets that are not encrypted.
"""

from collections.abc import Mapping
from typing import Any

from django.db import models

from backups.models import Plan, RecoveryKey

# What says nothing about the thing itself, or is told elsewhere.
LEFT_OUT = {"id", "system", "last_planned_at"}


def of_plan(plan: Plan, *, encrypted: bool) -> dict[str, Any]:
    """Values for JSON, by the names of the models' fields."""
    system = plan.system
    found: dict[str, Any] = {
        "system": values(system),
        "targets": [values(one) for one in system.targets.order_by("pk")],
        "plan": values(plan),
        "profile": values(plan.profile) if plan.profile else None,
        "retention": values(plan.retention) if plan.retention else None,
        "sources": {one.name: values(one) for one in system.sources.order_by("pk")},
        "picked": sorted(plan.sources.values_list("name", flat=True)),
        "destinations": {one.name: values(one) for one in plan.destinations.order_by("pk")},
        "recovery_keys": [values(one) for one in RecoveryKey.objects.order_by("pk")],
    }
    if encrypted:
        found["contacts"] = [values(one) for one in system.contacts.order_by("pk")]
    return found


def values(row: models.Model) -> dict[str, Any]:
    """The row's own columns, without relations; times as text."""
    return {
        field.name: _plain(field.value_from_object(row))
        for field in row._meta.concrete_fields
        if field.name not in LEFT_OUT and not field.is_relation
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def apply(row: models.Model, told: Any) -> None:
    """Set the columns of `row` to what `values` told of one; names that this version does not know are ignored."""
    if not isinstance(told, Mapping):
        return
    for field in row._meta.concrete_fields:
        if field.name in told and field.name not in LEFT_OUT and not field.is_relation:
            setattr(row, field.attname, field.to_python(told[field.name]))
