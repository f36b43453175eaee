"""The catalogue as text, to compare it before with after; and how it is lost."""

import json
from typing import Any

from django.db import models

from backups.models import (
    Copy,
    Destination,
    Part,
    Plan,
    Rebuild,
    RecoveryKey,
    Set,
    Signer,
    Source,
    Verification,
)
from backups.storage import publish
from drcenter.jobs.models import Job
from drcenter.systems.models import Contact, System, Target

# Of these every column has to come back, but for: keys of rows, the job, who holds the kit.
MODELS = (System, Target, Contact, Source, Destination, Plan, Set, Part, Copy, Verification, RecoveryKey)
NOT_COMPARED = {"id", "job", "held_at", "last_planned_at"}


def rows(*leave_out: type[models.Model]) -> dict[str, list[str]]:
    """{model: its rows, sorted}."""
    return {
        model.__name__: sorted(_text(row) for row in model._default_manager.all())
        for model in MODELS
        if model not in leave_out
    }


def _text(row: models.Model) -> str:
    found: dict[str, Any] = {}
    for field in row._meta.get_fields():
        if not getattr(field, "concrete", False) or field.name in NOT_COMPARED:
            continue
        if field.many_to_many:
            found[field.name] = sorted(str(one) for one in getattr(row, field.name).all())
        elif field.is_relation:
            found[field.name] = str(getattr(row, field.name))
        else:
            found[field.name] = field.value_from_object(row)
    return json.dumps(found, default=str, sort_keys=True)


def lose_everything(settings, tmp_path) -> str:
    """An empty machine: no row, another signing key. Returns the public key that the kit holds."""
    pem = publish.signing_key().public_pem
    for model in (Verification, Copy, Part, Set, Rebuild, Signer, Plan, Source, Destination, Contact, Target, System,
                  RecoveryKey, Job):  # fmt: skip
        model._default_manager.all().delete()
    machine = tmp_path / "another-machine"
    machine.mkdir()
    settings.STATE_DIR = machine
    return pem
