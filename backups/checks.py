"""What `manage.py check --database default` says about backups: what would go wrong on the day it matters.

Warnings, never errors: an error would keep `migrate` from running, which may be what mends it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError
from django.utils.translation import gettext as _

from backups import own
from backups.destinations import destinations, shares_writer
from backups.destinations.base import Role
from backups.models import Destination, Level, Plan, RecoveryKey
from backups.servers import mariadb, postgresql
from backups.storage import signing
from drcenter.errors import OperationFailed

# The server that a proof of this engine starts; raises OperationFailed when it is not installed.
SCRATCH: dict[str, Callable[[], object]] = {
    "mariadb": mariadb.server_binary,
    "postgresql": postgresql.find_installation,
}


def check_backups(
    app_configs: Any, databases: Sequence[str] | None = None, **_more: Any
) -> list[checks.CheckMessage]:
    """All of them. Nothing while the tables are missing: that is what migrations are for."""
    if not databases or "default" not in databases:
        return []
    try:
        return [*_keys(), *_plans(), *_destinations(), *_signing_key(), *_own()]
    except DatabaseError:
        return []


def _keys() -> Iterator[checks.CheckMessage]:
    keys = RecoveryKey.objects.filter(active=True, for_drills=False)
    if not keys and RecoveryKey.objects.filter(active=True).exists():
        yield checks.Warning(
            _("Only a drill key: nobody holds a recovery kit. Without this machine no set can be read."),
            hint=_("On a terminal: manage.py recovery-kit"),
            id="backups.W001",
        )
    elif not keys:
        yield checks.Warning(
            _("There is no recovery key: no encrypted set can be taken."),
            hint=_("On a terminal: manage.py recovery-kit"),
            id="backups.W001",
        )
    elif not any(key.held_at for key in keys):
        yield checks.Warning(
            _("Nobody has shown to hold a recovery key: if the kit is lost, so is every encrypted set."),
            hint=_("Fetch the kit from the safe, then: manage.py recovery-kit --check"),
            id="backups.W002",
        )


def _plans() -> Iterator[checks.CheckMessage]:
    for plan in Plan.objects.filter(enabled=True).select_related("system"):
        if not plan.encrypt:
            yield checks.Warning(
                _("The plan %(plan)s does not encrypt: whoever reads the store reads the data.")
                % {"plan": plan},
                hint=_("Switch encryption on, unless the store is as safe as the database itself."),
                obj=plan,
                id="backups.W003",
            )
        if not plan.destinations.filter(enabled=True).exists():
            yield checks.Warning(
                _("The plan %(plan)s has no destination that is enabled: it cannot run.") % {"plan": plan},
                hint=_("Choose one on the plan's page."),
                obj=plan,
                id="backups.W004",
            )
        yield from _proof(plan)


def _destinations() -> Iterator[checks.CheckMessage]:
    """One thief for everything: who may write may also remove."""
    for row in Destination.objects.filter(enabled=True):
        if row.kind in destinations() and shares_writer(row.kind, row.options, Role.PRUNE):
            yield checks.Warning(
                _("At the destination %(destination)s removing uses the credentials of writing.")
                % {"destination": row},
                hint=_(
                    "Give pruning keys of its own, and take from the writer the right to delete: docs/security.md."
                ),
                obj=row,
                id="backups.W008",
            )


def _proof(plan: Plan) -> Iterator[checks.CheckMessage]:
    if plan.level != Level.PROVEN:
        return
    for name in sorted(set(plan.chosen().values_list("engine", flat=True))):
        if problem := _unprovable(name):
            yield checks.Warning(
                _("The plan %(plan)s wants proof, but %(problem)s")
                % {"plan": plan, "problem": problem.message},
                hint=problem.hint,
                obj=plan,
                id="backups.W006",
            )


def _unprovable(engine: str) -> OperationFailed | None:
    """Why no set of this engine can be proven here; None if nothing is known against it."""
    try:
        SCRATCH.get(engine, lambda: None)()
    except OperationFailed as error:
        return error
    return None


def _signing_key() -> Iterator[checks.CheckMessage]:
    path = Path(settings.STATE_DIR) / "signing_key.pem"
    if not path.exists():
        return  # Made with the first set or the first kit.
    try:
        signing.load_or_create(path)
    except OperationFailed as error:
        yield checks.Warning(error.message, hint=error.hint, id="backups.W005")


def _own() -> Iterator[checks.CheckMessage]:
    if (wrong := own.fault()) is not None:
        yield checks.Warning(wrong[0], hint=wrong[1], id="backups.W007")
