"""Retention in the panel: its classes, the preview of a plan, removing now, and going on after a freeze."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View

from backups.admin.places import destination_target
from backups.admin.verdicts import level_verdict
from backups.keep import freeze, keeping, prune, retention_words
from backups.keep.keeping import Forecast
from backups.models import Copy, Freeze, Plan, Retention, Set
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.look import Button, Fact, Link, Notice, Table, Tone, Verdict
from drcenter.panel.pages import PanelAdmin, address
from drcenter.panel.widgets import PanelForm

# Rows of a page of the preview, and sets that the page of confirmation names.
ROWS, NAMED = 100, 20


@admin.register(Retention)
class RetentionAdmin(PanelAdmin):
    list_display = ("name", "last", "daily", "weekly", "monthly", "yearly", "days", "minimum", "plans_named")
    search_fields = ("name",)
    empty_hint = gettext_lazy("A retention class says how many sets of a plan stay, and for how long.")
    fieldsets = (
        (None, {"fields": ("name",)}),
        (gettext_lazy("Rules"), {"fields": ("last", "daily", "weekly", "monthly", "yearly", "days")}),
        (gettext_lazy("Whatever the rules say"), {"fields": ("minimum", "special_days", "lock_days")}),
    )

    @admin.display(description=gettext_lazy("plans"))
    def plans_named(self, row: Retention) -> str:
        return ", ".join(map(str, row.plans.select_related("system"))) or words.NOTHING

    def obstacles(self, obj: Retention) -> list[str]:
        plans = self.plans_named(obj)
        return [] if plans == words.NOTHING else [_("These plans use it: %(plans)s.") % {"plans": plans}]


def retention_button(plan: Plan) -> Button:
    return Button(_("Retention"), address(plan, "retention"), "auto_delete")


def freeze_notices(plan: Plan) -> list[Notice]:
    link = Link(_("Look at the preview"), address(plan, "retention"))
    return [
        Notice(_("Nothing of this plan is removed."), retention_words.doubts(one.reasons), link=link)
        for one in Freeze.objects.stopping(plan)
    ]


class Preview(View):
    """What pruning would do with every set of the plan, and why. It has no effect."""

    model_admin: Any = None

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        plan = self.model_admin.get_object(request, str(pk))
        if plan is None:
            raise Http404
        if not self.model_admin.has_view_or_change_permission(request, plan):
            raise PermissionDenied
        found = keeping.forecast(plan)
        show, page = request.GET.get("show", ""), request.GET.get("page", "")
        rows = [one for one in found.decisions if show not in {"stay", "go"} or one.keep == (show == "stay")]
        first = (int(page) - 1) * ROWS if page.isdecimal() and 0 < int(page) < 10_000 else 0
        context = {
            **self.model_admin.admin_site.each_context(request),
            "title": _("Retention: %(plan)s") % {"plan": plan},
            "opts": self.model_admin.opts,
            "original": plan,
            "zone": plan.time_zone,
            "back": address(plan),
            "facts": _facts(found),
            "notices": _notices(found),
            "buttons": self._buttons(request, found),
            "tabs": list(_tabs(found, show)),
            "table": _table(found, rows[first : first + ROWS]),
            "pages": _pages(len(rows), first, show),
        }
        return TemplateResponse(request, "panel/retention.html", context)

    def _buttons(self, request: HttpRequest, found: Forecast) -> list[Button]:
        buttons, plan = [], found.plan
        if found.freezes and permissions.may(request, permissions.THAW_FREEZE):
            buttons.append(Button(_("Let it go on"), address(plan, "thaw"), "play_arrow", "risky"))
        elif (
            found.leaving
            and not found.freezes
            and not found.waits
            and permissions.may(request, permissions.PRUNE_PLAN)
        ):
            buttons.append(Button(_("Remove now"), address(plan, "prune"), "auto_delete", "risky"))
        return buttons


def _facts(found: Forecast) -> list[Fact]:
    plan, going = found.plan, len(found.leaving)
    kept = _("everything is kept")
    return [
        Fact(_("class"), Link(str(plan.retention), address(plan.retention)) if plan.retention else kept),
        Fact(_("sets"), len(found.decisions)),
        Fact(_("stay"), len(found.decisions) - going),
        Fact(_("go"), going),
        Fact(_("last pruned"), words.when_and_ago(plan.pruned_at)),
    ]


def _notices(found: Forecast) -> list[Notice]:
    if found.waits:
        return [Notice(_("Nothing is removed until somebody has looked."), found.waits)]
    if found.freezes:
        return [
            Notice(
                _("It has stopped itself: nothing is removed until a person says why it may go on."),
                retention_words.doubts(one.reasons),
            )
            for one in found.freezes
        ]
    hint = _("Nothing would be removed; people would be told, and asked to look.")
    return [
        Notice(retention_words.doubt(one), hint, Tone.WARN) for one in retention_words.stored(found.doubts)
    ]


def _tabs(found: Forecast, show: str) -> Iterator[dict[str, Any]]:
    going = len(found.leaving)
    counts = (
        ("", _("all"), len(found.decisions)),
        ("stay", _("stay"), len(found.decisions) - going),
        ("go", _("go"), going),
    )
    for name, label, count in counts:
        yield {
            "href": f"?{urlencode({'show': name})}",
            "label": f"{label} ({count})",
            "current": name == show,
        }


def _pages(count: int, first: int, show: str) -> dict[str, str]:
    """Addresses of the pages before and after."""
    now = first // ROWS + 1
    pages = {"before": now - 1 if now > 1 else 0, "after": now + 1 if first + ROWS < count else 0}
    return {name: f"?{urlencode({'show': show, 'page': page})}" for name, page in pages.items() if page}


def _table(found: Forecast, rows: list[Any]) -> Table:
    sets = Set.objects.select_related("system").in_bulk([one.id for one in rows])
    locked = dict(
        Copy.objects.filter(set__in=sets, locked_until__gt=found.now).values_list("set", "locked_until")
    )
    stays = Verdict(_("stays"), Tone.GOOD, "check_circle")
    goes = Verdict(_("goes"), Tone.WARN, "auto_delete")
    cells = [
        [
            Link(sets[one.id].identifier or f"#{one.id}", address(sets[one.id])),
            words.when(found.items[one.id].moment),
            level_verdict(found.items[one.id].level),
            stays if one.keep else goes,
            _why(one, locked.get(one.id)),
        ]
        for one in rows
    ]
    columns = [_("set"), _("moment"), _("level"), _("decision"), _("because")]
    return Table(_("sets"), columns, cells, _("There is no such set."))


def _why(one: Any, locked_until: Any) -> str:
    said = retention_words.reasons(one)
    if one.keep or locked_until is None:
        return said
    return f"{said}; " + _("a copy is locked until %(until)s") % {"until": f"{locked_until:%Y-%m-%d}"}


# ---------------------------------------------------------------------------- acts


class SeenForm(PanelForm):
    """Bound to exactly what the person saw."""

    seen = forms.CharField(widget=forms.HiddenInput)


class OfForecast(ActPage):
    """An act about what would go; it is refused when that has changed since the page was shown."""

    row: Plan
    form_class = SeenForm
    dangerous = True

    @cached_property
    def forecast(self) -> Forecast:
        return keeping.forecast(self.row)

    def back(self) -> str:
        return address(self.row, "retention")

    def form_arguments(self) -> dict[str, Any]:
        return {"initial": {"seen": self.forecast.digest}}

    def facts(self) -> list[Fact]:
        places = self.row.destinations.all()
        where = "; ".join(f"{place}: {destination_target(place)}" for place in places)
        return [*_facts(self.forecast), Fact(_("destinations"), where)]

    def steps(self) -> list[str]:
        leaving = self.forecast.leaving
        names = [str(one) for one in Set.objects.filter(pk__in=leaving[:NAMED]).select_related("system")]
        more = len(leaving) - len(names)
        rest = _("Further sets: %(count)d") % {"count": more}
        named = [_("Remove %(set)s, every copy of it.") % {"set": name} for name in names]
        return [*named, rest] if more else named

    def require_seen(self, form: Any) -> None:
        if form.cleaned_data["seen"] != self.forecast.digest:
            raise OperationFailed(
                _("What would be removed is not what this page showed any more."),
                _("Look at the preview once more."),
            )


class PruneNow(OfForecast):
    permission = permissions.PRUNE_PLAN
    action = "backups.prune.requested"

    def title(self) -> str:
        return _("Remove old sets: %(plan)s") % {"plan": self.row}

    def submit_label(self) -> str:
        return _("Remove them")

    def notices(self) -> list[Notice]:
        return _notices(self.forecast)

    def perform(self, form: Any) -> str:
        self.require_seen(form)
        job = prune.request(self.row, requested_by=self.actor)
        messages.success(self.request, _("The removal was requested."))
        return address(job)


class ThawForm(SeenForm):
    reason = forms.CharField(
        label=gettext_lazy("Why it may go on"),
        max_length=300,
        help_text=gettext_lazy("The audit trail keeps it, with your name."),
    )


class Thaw(OfForecast):
    permission = permissions.THAW_FREEZE
    action = "backups.prune.thawed"
    form_class = ThawForm

    def title(self) -> str:
        return _("Let the removing go on: %(plan)s") % {"plan": self.row}

    def submit_label(self) -> str:
        return _("Let it go on")

    def notices(self) -> list[Notice]:
        return _notices(self.forecast)

    def perform(self, form: Any) -> str:
        self.require_seen(form)
        for one in self.forecast.freezes:
            seen = self.forecast if one.plan_id else None
            freeze.thaw(one, reason=form.cleaned_data["reason"], actor=self.actor, seen=seen)
        messages.success(self.request, _("It goes on with the next run."))
        return self.back()


PAGES = (("retention", Preview), ("prune", PruneNow), ("thaw", Thaw))
