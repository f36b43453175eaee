"""The sidebar: groups of pages, each shown to those who may see it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from drcenter.permissions import sees


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    return [
        _group(
            "",
            [
                {
                    "title": _("Overview"),
                    "icon": "dashboard",
                    "link": reverse("admin:index"),
                    "active": request.path == reverse("admin:index"),
                }
            ],
        ),
        _group(
            _("Protected"),
            [
                _page(_("Systems"), "dns", "systems.system"),
                _page(_("Ways to stop"), "pause_circle", "systems.halt"),
                _page(_("Sources"), "database", "backups.source"),
                _page(_("Plans"), "event_repeat", "backups.plan"),
                _page(_("Profiles"), "checklist", "backups.profile"),
                _page(_("Destinations"), "hard_drive", "backups.destination"),
                _page(_("Actions"), "bolt", "incidents.preparedaction"),
                _page(_("Retention classes"), "auto_delete", "backups.retention"),
                _page(_("Drill schedules"), "event", "backups.drillschedule"),
                _page(_("Drill checks"), "rule", "backups.drillcheck"),
            ],
        ),
        _group(
            _("Evidence"),
            [
                _page(_("Sets"), "inventory_2", "backups.set"),
                _page(_("Log streams"), "stream", "backups.logstream"),
                _page(_("Verifications"), "verified", "backups.verification"),
                _page(_("Recoveries"), "settings_backup_restore", "backups.recovery"),
                _page(_("Drills"), "fire_extinguisher", "backups.drill"),
                _page(_("Comparisons of rows"), "difference", "backups.rowcomparison"),
                _page(_("Rebuilds"), "manage_search", "backups.rebuild"),
                _page(_("Runs of actions"), "bolt", "incidents.actionrun"),
                _page(_("Jobs"), "progress_activity", "jobs.job"),
                _page(_("Audit trail"), "history_edu", "audit.entry"),
            ],
        ),
        _group(
            _("Settings"),
            [
                _page(_("Recovery keys"), "key", "backups.recoverykey"),
                _page(_("Channels"), "notifications", "notify.channel"),
                _page(_("Deliveries"), "outgoing_mail", "notify.delivery"),
                _page(_("Users"), "person", "auth.user"),
                _page(_("Groups"), "group", "auth.group"),
            ],
        ),
    ]


def account(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu of the user, at the bottom left."""
    return [
        {"title": _("Sign-in and second factor"), "link": reverse("mfa_index")},
        {"title": _("Change password"), "link": reverse("admin:password_change")},
    ]


def _group(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "separator": bool(title), "items": items}


def _page(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{app}_{name}_changelist"),
        "permission": _may_see(app, name),
    }


def _may_see(app: str, name: str) -> Callable[[HttpRequest], bool]:
    return lambda request: sees(request, f"{app}.{name}")
