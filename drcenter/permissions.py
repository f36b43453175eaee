"""The rights that acts ask for, by name, and the one place where they are asked; seeing and editing use Django's own."""

from django.contrib.auth.models import User
from django.http import HttpRequest

RUN_PLAN = "backups.run_plan"
VERIFY_SET = "backups.verify_set"
RESTORE_BESIDE = "backups.restore_beside"
RESTORE_PRODUCTION = "backups.restore_production"
COMPARE_ROWS = "backups.compare_rows"
RESTORE_ROWS = "backups.restore_rows"
APPROVE_RECOVERY = "backups.approve_recovery"
BREAK_GLASS = "backups.break_glass"
COPY_SET = "backups.copy_set"
RUN_STREAM = "backups.run_logstream"
RUN_DRILL = "backups.run_drill"
PIN_SET = "backups.pin_set"
PRUNE_PLAN = "backups.prune_plan"
THAW_FREEZE = "backups.thaw_freeze"
SWEEP_DESTINATION = "backups.sweep_destination"
REBUILD_CATALOG = "backups.rebuild_catalog"
RUN_ACTION = "incidents.run_action"
CANCEL_JOB = "jobs.cancel_job"


def may(request: HttpRequest, right: str) -> bool:
    """Whether the person who asks has `right`, of his own or by a group (drcenter.signin.roles)."""
    return request.user.has_perm(right)


def has(user: User, right: str) -> bool:
    """Whether `user` has `right`, and may use it: for decisions that are made elsewhere than on a page."""
    return user.is_active and user.has_perm(right)


def sees(request: HttpRequest, model: str) -> bool:
    """Whether the person may see the rows of `app.model`."""
    app, _point, name = model.partition(".")
    return may(request, f"{app}.view_{name}")
