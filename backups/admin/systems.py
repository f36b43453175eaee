"""A system, with where its plans stand."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups import exposed, standing
from backups.admin import exposure, point_in_time
from backups.admin.drills import drill_button, drills_tables
from backups.admin.logs import streams_tables
from backups.admin.looking import SetUpCalendar, SystemContents
from backups.admin.plans import back_up_button, contents_button, plan_verdict
from backups.admin.tables import sets_table
from backups.admin.targets import ChooseTargets
from backups.admin.verdicts import level_verdict
from backups.places import safekeeping
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Link, Notice, Record, Table, Tone, Verdict
from drcenter.panel.pages import address
from drcenter.permissions import may
from drcenter.systems.admin import SystemAdmin
from drcenter.systems.models import System

# The worst first.
ORDER = (Tone.BAD, Tone.WARN, Tone.IDLE, Tone.BUSY, Tone.FAIR, Tone.GOOD)


def system_verdict(here: standing.SystemStanding) -> Verdict:
    """As its worst plan."""
    if not here.plans:
        return Verdict(
            _("not protected"), Tone.BAD, "gpp_bad", _("No plan backs it up: add sources and a plan.")
        )
    verdicts = [plan_verdict(plan) for plan in here.plans if plan.plan.enabled]
    if not verdicts:
        return Verdict(_("switched off"), Tone.BAD, "pause_circle", _("All its plans are switched off."))
    return min(verdicts, key=lambda verdict: ORDER.index(verdict.tone))


admin.site.unregister(System)


@admin.register(System)
class ProtectedSystemAdmin(SystemAdmin):
    list_display = ("name", "standing", "slug", "time_zone")

    @display(description=gettext_lazy("standing"))
    def standing(self, system: System) -> str:
        return badge(system_verdict(standing.of_system(system, timezone.now())))

    def obstacles(self, obj: System) -> list[str]:
        if count := obj.sets.count():
            kept = ngettext("%(count)d set of it is recorded.", "%(count)d sets of it are recorded.", count)
            return [
                f"{kept % {'count': count}} "
                + _(
                    "Sets are evidence and are not deleted here, so their system stays. Switch its plans off."
                )
            ]
        below = [*obj.plans.values_list("name", flat=True), *obj.sources.values_list("name", flat=True)]
        if not below:
            return []
        names = ", ".join(below)
        return [_("Delete its plans and sources first: %(names)s.") % {"names": names}]

    def consequences(self, obj: System) -> list[str]:
        return [
            _("Its targets and contacts go with it."),
            _("It has no plan and no set: no data is lost."),
        ]

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        contents = site.admin_view(SystemContents.as_view(model_admin=self))
        calendar = site.admin_view(SetUpCalendar.as_view(model_admin=self))
        targets = site.admin_view(ChooseTargets.as_view(model_admin=self))
        return [
            path("<int:pk>/contents/", contents, name="systems_system_contents"),
            path("<int:pk>/calendar/", calendar, name="systems_system_calendar"),
            path("<int:pk>/targets/", targets, name="systems_system_targets"),
            path(
                "<int:pk>/point-in-time/",
                site.admin_view(point_in_time.PointInTime.as_view(model_admin=self)),
                name="systems_system_point_in_time",
            ),
            *super().get_urls(),
        ]

    def record(self, request: HttpRequest, obj: System) -> Record:
        now = timezone.now()
        here = standing.of_system(obj, now)
        job = here.jobs[0] if here.jobs else None
        found = exposed.of_system(obj, now)
        return Record(
            verdict=system_verdict(here),
            notices=[*_notices(here), *_rule(obj, here)],
            buttons=[
                *(back_up_button(request, here.plans[0].plan) if len(here.plans) == 1 else []),
                *contents_button(request, obj),
                *_calendar_button(request, obj),
                *exposure.targets_button(request, obj),
                *drill_button(request, obj),
                *point_in_time.button(request, obj),
            ],
            tables=[
                exposure.table(found, obj),
                _plans(request, here),
                *streams_tables(obj),
                *drills_tables(obj),
                sets_table(obj.sets.all()[:5], _("newest sets")),
            ],
            job=job,
            # Without a job it still counts: what would be lost grows.
            live=True,
            every="2s" if job is not None else "15s",
        )


def _calendar_button(request: HttpRequest, system: System) -> list[Button]:
    if not may(request, SetUpCalendar.permission):
        return []
    return [Button(_("Set up the calendar"), address(system, "calendar"), "calendar_month")]


def _rule(system: System, here: standing.SystemStanding) -> list[Notice]:
    """Three copies, two kinds, one away, one locked: what is missing, or that it holds."""
    if not here.plans:
        return []
    found = safekeeping.of_system(system)
    title = _("three copies, two kinds, one away, one locked")
    text = f"{title[:1].upper()}{title[1:]}: "
    if found.holds:
        return [Notice(text + _("holds"), tone=Tone.GOOD)]
    return [Notice(text + _("does not hold"), " ".join(found.missing), Tone.WARN)]


def _notices(here: standing.SystemStanding) -> list[Notice]:
    return [
        Notice(plan.last.message or _("The last try failed."), plan.last.hint)
        for plan in here.plans
        if plan.failed and plan.last is not None
    ]


def _plans(request: HttpRequest, here: standing.SystemStanding) -> Table:
    rows = [
        [
            Link(plan.plan.name, address(plan.plan)),
            plan_verdict(plan),
            words.when_and_ago(plan.moment),
            level_verdict(plan.newest.level) if plan.newest else None,
            words.when(plan.next_at) if plan.next_at else _("by hand only"),
            back_up_button(request, plan.plan, "default"),
        ]
        for plan in here.plans
    ]
    columns = [_("plan"), _("standing"), _("newest set"), _("level"), _("next planned time"), ""]
    return Table(_("plans"), columns, rows, _("No plan yet."))
