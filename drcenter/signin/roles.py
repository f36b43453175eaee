"""The ready-made groups: which there are, what they may, and how they come into the database.

They are made once. What people change about them stays: a right that was taken away is not given again, a
group that was renamed keeps its name, one that was deleted does not come back. Only rights that a new
version of the product brings are added. docs/panel.md has the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext, gettext_noop

from drcenter import permissions
from drcenter.signin.models import Role

# Apps whose rows everybody with a role sees. Users and groups are not among them: they are for administrators.
SEEN_APPS = (
    "audit",
    "backups",
    "billing_snapshots",
    "incidents",
    "integrations",
    "jobs",
    "notify",
    "systems",
)
PLANNED = (
    "systems.system",
    "systems.halt",
    "systems.target",
    "systems.contact",
    "backups.source",
    "backups.destination",
    "backups.plan",
    "backups.profile",
    "backups.retention",
    "incidents.preparedaction",
    "backups.drillschedule",
    "backups.drillcheck",
)
OPERATING = (
    permissions.RUN_PLAN, permissions.VERIFY_SET, permissions.RESTORE_BESIDE, permissions.COPY_SET,
    permissions.PIN_SET,
    permissions.CANCEL_JOB,
    permissions.RUN_DRILL,
    permissions.RUN_STREAM,
)  # fmt: skip
# Whoever says how long sets are kept may as well remove them.
KEEPING = (
    permissions.PRUNE_PLAN, permissions.THAW_FREEZE, permissions.SWEEP_DESTINATION, permissions.REBUILD_CATALOG,
)  # fmt: skip


@dataclass(frozen=True)
class ReadyMade:
    """A role: `name` in English, the rights of its acts, and the models whose rows it edits."""

    key: str
    name: str
    acts: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()

    def rights(self, registered: Iterable[str]) -> list[str]:
        """Which of the `registered` rights ("app.codename") it has, in order."""
        wanted = {*self.acts, *(f"{verb}" for model in self.edits for verb in _editing(model))}
        return sorted(right for right in registered if right in wanted or _is_seeing(right))


VIEWER = ReadyMade("viewer", gettext_noop("Viewer"))
OPERATOR = ReadyMade("operator", gettext_noop("Operator"), OPERATING)
RESTORER = ReadyMade(
    "restorer", gettext_noop("Restorer"),
    (*OPERATING, permissions.COMPARE_ROWS, permissions.RESTORE_ROWS, permissions.RESTORE_PRODUCTION, permissions.BREAK_GLASS, permissions.RUN_ACTION),
)  # fmt: skip
# The second person. Whoever restores may be in this group too: nobody approves what they asked for themselves.
APPROVER = ReadyMade("approver", gettext_noop("Approver of recoveries"), (permissions.APPROVE_RECOVERY,))
PLANNER = ReadyMade("planner", gettext_noop("Administrator of plans"), KEEPING, PLANNED)
ROLES = (VIEWER, OPERATOR, RESTORER, APPROVER, PLANNER)


def _editing(model: str) -> list[str]:
    app, _point, name = model.partition(".")
    return [f"{app}.{verb}_{name}" for verb in ("add", "change", "delete")]


def _is_seeing(right: str) -> bool:
    app, _point, codename = right.partition(".")
    return app in SEEN_APPS and codename.startswith("view_")


def after_migration(sender: AppConfig, **kwargs: Any) -> None:
    """Once the last app has its rights in the database, the roles get theirs."""
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if sender is last and kwargs.get("using", "default") == "default":
        bring_up_to_date()


def bring_up_to_date() -> None:
    """Make the roles that never were, and give the others the rights that they never had."""
    rows = Permission.objects.select_related("content_type")
    registered = {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
    for role in ROLES:
        with transaction.atomic():
            _bring_up_to_date(role, registered)


def _bring_up_to_date(role: ReadyMade, registered: dict[str, Permission]) -> None:
    row, is_new = Role.objects.get_or_create(key=role.key)
    if is_new:
        row.group = _group(role)
    new = [right for right in role.rights(registered) if right not in row.given]
    if row.group is not None:
        row.group.permissions.add(*(registered[right] for right in new))
    row.given = [*row.given, *new]
    row.save()


def _group(role: ReadyMade) -> Group:
    """A group of its own, in the installation's language; one of that name that people made stays theirs."""
    with translation.override(settings.LANGUAGE_CODE):
        name = gettext(role.name)
    number = 1
    free = name
    while Group.objects.filter(name=free).exists():
        number += 1
        free = f"{name} {number}"
    return Group.objects.create(name=free)
