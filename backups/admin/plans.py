"""Plans: what they protect, how the last sets were, and the way to take one now."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from backups import needs_proof, standing
from backups.admin import retention
from backups.admin.acts import BackUpNow, unencrypted_notice
from backups.admin.looking import PlanContents
from backups.admin.tables import sets_table
from backups.admin.verdicts import set_verdict
from backups.models import Plan, Source
from backups.status import damage
from drcenter import permissions
from drcenter.jobs.admin import cancel_button
from drcenter.options import LinesField
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Notice, Record, Tone, Verdict
from drcenter.panel.pages import PanelAdmin, address
from drcenter.panel.widgets import dress
from drcenter.systems.models import System


def back_up_button(request: HttpRequest, plan: Plan, style: str = "primary") -> list[Button]:
    if not permissions.may(request, permissions.RUN_PLAN):
        return []
    return [Button(_("Back up now"), address(plan, "back_up"), "backup", style)]


def contents_button(request: HttpRequest, row: Plan | System) -> list[Button]:
    """To the page that says what a set would contain."""
    if not permissions.may(request, permissions.RUN_PLAN):
        return []
    return [Button(_("What will it contain?"), address(row, "contents"), "inventory")]


def plan_verdict(here: standing.PlanStanding) -> Verdict:
    """How the plan stands, in one word: what runs comes first, then what is wrong, then how good the newest is."""
    if here.running is not None:
        return set_verdict(here.running)
    if not here.plan.enabled:
        return Verdict(_("switched off"), Tone.WARN, "pause_circle", _("Nothing is taken by this plan."))
    if here.damaged is not None:
        sentence = _("The newest set is damaged, and has no other copy: %(what)s")
        return Verdict(_("damaged"), Tone.BAD, "broken_image", sentence % {"what": damage(here.damaged)})
    if here.newest is None:
        word = _("overdue") if here.overdue else _("nothing yet")
        tone = Tone.BAD if here.overdue else Tone.WARN
        return Verdict(word, tone, "hourglass_empty", _("Nothing was backed up yet."))
    if here.overdue:
        sentence = _("The newest good set is older than %(hours)d hours.") % {
            "hours": here.plan.target_age_hours
        }
        return Verdict(_("overdue"), Tone.BAD, "alarm", sentence)
    return _after_the_newest(here) or _needs_proof(here) or set_verdict(here.newest)


def _needs_proof(here: standing.PlanStanding) -> Verdict | None:
    """What was shown of its sets is not what is made any more."""
    sentence = needs_proof.told(needs_proof.of_plan(here.plan))
    return Verdict(_("needs proof"), Tone.WARN, "rule", sentence) if sentence else None


def _after_the_newest(here: standing.PlanStanding) -> Verdict | None:
    """What has happened since, or happens to it."""
    if here.failed:
        return Verdict(
            _("last backup failed"), Tone.BAD, "error",
            _("Newest good set: %(time)s. The try after it went wrong.")
            % {"time": words.ago(here.moment)},
        )  # fmt: skip
    if here.proving:
        return Verdict(
            _("being proven"), Tone.BUSY, "progress_activity",
            _("The newest set is restored into a scratch place and compared."),
        )  # fmt: skip
    return None


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    tables = dress(
        LinesField(
            label=gettext_lazy("Only these tables"),
            help_text=gettext_lazy(
                "One per line. Of the plan's databases; sources without any of them are left out. Empty: everything."
            ),
        )
    )

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or self.cleaned_data)
        system = data["system"].pk if data.get("system") else self.instance.system_id
        sources = data.get("sources") or ()
        if profile := data.get("profile"):
            sources = Source.objects.filter(system=system, tier__in=profile.tiers)
        if data.get("tables") and not any(source.build().by_table for source in sources):
            self.add_error(
                "tables", _("None of the plan's sources is a database whose tables can be taken alone.")
            )
        strange = [source.name for source in data.get("sources") or () if source.system_id != system]
        if system and strange:
            raise ValidationError(
                _("These sources belong to another system: %(names)s.") % {"names": ", ".join(strange)}
            )
        if not profile and not data.get("sources"):
            raise ValidationError(_("Choose a profile, or at least one source."))
        if profile:
            # Kept, they would come back when the profile is taken away: a surprise.
            data["sources"] = Source.objects.none()
        return data


@admin.register(Plan)
class PlanAdmin(PanelAdmin):
    form = PlanForm
    list_display = ("__str__", "standing", "age", "cron", "level", "encrypt", "enabled")
    list_filter = ("system", "enabled", "level")
    search_fields = ("name", "system__name", "system__slug")
    list_select_related = ("system",)
    empty_hint = gettext_lazy(
        "A plan says which sources are backed up when, to where, and how they are proven."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "system",
                    "name",
                    "enabled",
                    "profile",
                    "sources",
                    "tables",
                    "destinations",
                    "minimum_copies",
                )
            },
        ),
        (gettext_lazy("When"), {"fields": ("cron", "time_zone", "target_age_hours", "retry_lost")}),
        (gettext_lazy("How long"), {"fields": ("retention",)}),
        (
            gettext_lazy("How"),
            {"fields": ("level", "encrypt", "compression", "bandwidth_mib", "side_by_side")},
        ),
        (
            gettext_lazy("Only what changed"),
            {"fields": ("increments", "full_after_days", "full_above_percent", "store_once")},
        ),
    )

    @display(description=gettext_lazy("standing"))
    def standing(self, plan: Plan) -> str:
        return badge(plan_verdict(standing.of_plan(plan, timezone.now())))

    @display(description=gettext_lazy("newest set"))
    def age(self, plan: Plan) -> str:
        return words.ago(standing.of_plan(plan, timezone.now()).moment)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        if db_field.name == "sources" and (system := self._system(request)):
            kwargs["queryset"] = Source.objects.filter(system=system)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Its sets lie below the key of its system.
        return ("system",) if obj is not None else ()

    def _system(self, request: HttpRequest) -> int | None:
        """The system that the form is about: the plan's, or for a new one that of the address."""
        match = request.resolver_match
        key = match.kwargs.get("object_id") if match else None
        if key is None:
            asked = request.GET.get("system", "")
            return int(asked) if asked.isdecimal() else None
        return Plan.objects.filter(pk=unquote(key)).values_list("system", flat=True).first()

    def obstacles(self, obj: Plan) -> list[str]:
        if not obj.sets.filter(state__in=standing.UNDER_WAY).exists():
            return []
        return [_("It is taking a backup: wait for its end, or cancel the job.")]

    def consequences(self, obj: Plan) -> list[str]:
        count = obj.sets.complete().count()
        kept = ngettext(
            "%(count)d set of it stays, with its copies, and can be verified and restored as before.",
            "%(count)d sets of it stay, with their copies, and can be verified and restored as before.",
            count,
        )
        sources = ", ".join(source.name for source in obj.chosen())
        return [
            _("No backup is taken by this plan any more; nobody is told that one is missing."),
            *([_("No longer backed up by it: %(names)s.") % {"names": sources}] if sources else []),
            *([kept % {"count": count}] if count else []),
            _("Sources and destinations stay."),
        ]

    def zone(self, obj: Plan) -> str:
        return obj.time_zone

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(BackUpNow.as_view(model_admin=self))
        own = [path("<int:pk>/back-up-now/", page, name="backups_plan_back_up")]
        contents = self.admin_site.admin_view(PlanContents.as_view(model_admin=self))
        own.append(path("<int:pk>/contents/", contents, name="backups_plan_contents"))
        for name, view in retention.PAGES:
            page = self.admin_site.admin_view(view.as_view(model_admin=self))
            own.append(path(f"<int:pk>/{name}/", page, name=f"backups_plan_{name}"))
        return [*own, *super().get_urls()]

    def record(self, request: HttpRequest, obj: Plan) -> Record:
        here = standing.of_plan(obj, timezone.now())
        job = here.running.job if here.running is not None else None
        allowed = _("%(hours)d hours") % {"hours": obj.target_age_hours}
        facts = [
            Fact(_("newest set"), words.when_and_ago(here.moment) if here.moment else _("none")),
            Fact(_("oldest allowed age"), allowed),
            Fact(_("next planned time"), words.when(here.next_at) if here.next_at else _("by hand only")),
        ]
        return Record(
            verdict=plan_verdict(here),
            notices=[*_notices(here), *retention.freeze_notices(obj)],
            facts=facts,
            buttons=[
                *([] if job else back_up_button(request, obj)),
                *contents_button(request, obj),
                retention.retention_button(obj),
                *cancel_button(request, job),
            ],
            tables=[sets_table(obj.sets.select_related("system")[:5], _("newest sets"))],
            job=job if job is not None and job.is_open else None,
            live=job is not None and job.is_open,
        )


def _notices(here: standing.PlanStanding) -> list[Notice]:
    notices = [] if here.plan.encrypt else [unencrypted_notice()]
    if here.failed and here.last is not None:
        notices.append(Notice(here.last.message or _("The last try failed."), here.last.hint))
    return notices
