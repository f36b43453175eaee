"""The first page: where each system stands, what runs, and what needs a person."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import exposed, standing
from backups.admin import exposure
from backups.admin.attention import attention
from backups.admin.plans import back_up_button, plan_verdict
from backups.admin.systems import system_verdict
from backups.admin.verdicts import set_verdict
from backups.exposure import Exposure
from backups.recovery import restore_time
from drcenter.jobs.models import Job, State
from drcenter.panel.look import Link, Notice, Tone
from drcenter.panel.pages import to_login
from drcenter.permissions import sees
from drcenter.signin.factors import has_factor
from drcenter.systems.models import System

SEEN = "backups.set"


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For Unfold's DASHBOARD_CALLBACK."""
    return {**context, "title": _("Overview"), **figures(request)}


def figures(request: HttpRequest) -> dict[str, Any]:
    """Everything that the first page shows; nothing for somebody who may not see backups."""
    if not sees(request, SEEN):
        return {"allowed": False}
    now = timezone.now()
    systems = [standing.of_system(system, now) for system in System.objects.all()]
    exposures = {here.system.pk: exposed.of_system(here.system, now) for here in systems}
    missed = [one for here in systems for one in exposure.notices(exposures[here.system.pk], here.system)]
    running = list(Job.objects.filter(state=State.RUNNING).exclude(kind="notify.deliver").order_by("pk"))
    queued = Job.objects.filter(state=State.QUEUED).exclude(kind="notify.deliver").order_by("pk")
    return {
        "allowed": True,
        "systems": [_card(request, here, exposures[here.system.pk]) for here in systems],
        "notices": [*missed, *attention(systems, now), *_about_oneself(request)],
        "jobs": running + list(queued[:5]),
        # Nothing runs: the page looks again from time to time, for what the schedule begins.
        "every": "2s" if running or queued.exists() else "15s",
    }


def _about_oneself(request: HttpRequest) -> list[Notice]:
    if not request.user.is_authenticated or has_factor(request.user):
        return []
    return [
        Notice(
            _("You sign in with a password alone."),
            _("Add an authenticator app or a passkey: a password that leaks opens nothing then."),
            Tone.FAIR,
            Link(_("Add a second factor"), reverse("mfa_index")),
        )
    ]


def _card(request: HttpRequest, here: standing.SystemStanding, found: list[Exposure]) -> dict[str, Any]:
    plans = [
        {
            "here": plan,
            "verdict": plan_verdict(plan),
            "newest": set_verdict(plan.newest) if plan.newest else None,
            "buttons": back_up_button(request, plan.plan, "default"),
        }
        for plan in here.plans
    ]
    measured = restore_time.of_system(here.system)
    return {
        "system": here.system,
        "verdict": system_verdict(here),
        "plans": plans,
        "measured": measured,
        "exposure": exposure.rows(found),
    }


def live(request: HttpRequest) -> HttpResponse:
    """The changing part of the first page."""
    if not request.user.is_authenticated:
        return to_login(request)
    if not request.user.is_staff:
        raise PermissionDenied
    response = TemplateResponse(request, "panel/dashboard.html", figures(request))
    response.headers["Cache-Control"] = "no-store"
    return response
