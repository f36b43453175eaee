"""Rebuilds of the catalogue: asked for on the page of a destination, looked at and confirmed here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from backups import rebuild
from backups.admin.identity import IdentityField
from backups.admin.places import destination_target
from backups.models import Destination, Rebuild
from backups.rebuild.shell import LABELS
from drcenter import permissions
from drcenter.jobs.admin import cancel_button, outcome
from drcenter.panel import words
from drcenter.panel.acts import ActPage
from drcenter.panel.badge import badge
from drcenter.panel.look import Button, Fact, Link, Notice, Record, Table, Tone, Verdict
from drcenter.panel.pages import RecordAdmin, address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may


class RebuildForm(PanelForm):
    identity = IdentityField()
    signing_keys = forms.CharField(
        label=gettext_lazy("Signing key"), required=False, widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy(
            "The public key of the recovery kit, from -----BEGIN PUBLIC KEY-----. Without it sets of another machine"
            " are only to be read."
        ),
    )  # fmt: skip


class RebuildCatalog(ActPage):
    """On a destination."""

    permission = permissions.REBUILD_CATALOG
    action = "backups.rebuild.request"
    form_class = RebuildForm
    row: Destination

    def title(self) -> str:
        return _("Rebuild the catalogue from %(destination)s") % {"destination": self.row}

    def submit_label(self) -> str:
        return _("Rebuild now")

    def harmless(self) -> tuple[str, str]:
        return "dry_run", _("Only look: nothing is changed")

    def facts(self) -> list[Fact]:
        return [Fact(_("where"), destination_target(self.row), code=True)]

    def steps(self) -> list[str]:
        return [
            _("Look at every set that lies there, hidden ones as well."),
            _("Check signatures and sizes; refuse what is not what was signed."),
            _("Add what the catalogue lacks. What it knows stays; nothing in storage is changed."),
            _(
                "Afterwards pruning waits, and so do the schedules of plans that were made, until somebody confirms."
            ),
        ]

    def perform(self, form: Any) -> str:
        given = form.cleaned_data
        wanted = rebuild.request(
            self.row, requested_by=self.actor, dry_run="dry_run" in self.request.POST, identity=given["identity"],
            signing_keys=given["signing_keys"],
        )  # fmt: skip
        messages.success(self.request, _("The rebuild was requested."))
        return address(wanted)


class Confirm(ActPage):
    """A person has looked at what a rebuild found."""

    permission = permissions.REBUILD_CATALOG
    action = "backups.rebuild.confirm"
    row: Rebuild

    def title(self) -> str:
        return _("Confirm: %(rebuild)s") % {"rebuild": self.row}

    def submit_label(self) -> str:
        return _("Confirm")

    def steps(self) -> list[str]:
        return [
            _("Pruning goes on, and removes what retention lets go."),
            _(
                "The schedules of the plans that were made go on: be sure that the old machine does not run any more."
            ),
        ]

    def perform(self, form: Any) -> str:
        rebuild.confirm(self.row, self.actor)
        messages.success(self.request, _("Confirmed."))
        return address(self.row)


@admin.register(Rebuild)
class RebuildAdmin(RecordAdmin):
    list_display = ("__str__", "verdict", "requested_by", "created_at")
    list_filter = ("state", "destination")
    list_select_related = ("destination",)
    empty_hint = gettext_lazy("On the page of a destination: “Rebuild the catalogue”.")

    @display(description=gettext_lazy("result"))
    def verdict(self, row: Rebuild) -> str:
        return badge(rebuild_verdict(row))

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(Confirm.as_view(model_admin=self))
        return [path("<int:pk>/confirm/", page, name="backups_rebuild_confirm"), *super().get_urls()]

    def record(self, request: HttpRequest, obj: Rebuild) -> Record:
        place = obj.destination
        facts = [
            Fact(_("destination"), Link(str(place), address(place)) if place else None),
            Fact(_("requested by"), obj.requested_by),
            Fact(_("requested at"), words.when(obj.created_at)),
            Fact(_("confirmed by"), obj.confirmed_by),
            Fact(_("confirmed at"), words.when_and_ago(obj.confirmed_at) if obj.confirmed_at else None),
        ]
        waits = obj.changed and obj.confirmed_at is None
        confirm = [Button(_("Confirm"), address(obj, "confirm"), "task_alt", "primary")]
        return Record(
            verdict=rebuild_verdict(obj),
            notices=[*outcome(obj), *(Notice(text, tone=Tone.WARN) for text in obj.findings[:50])],
            facts=[fact for fact in facts if fact.value not in (None, "", words.NOTHING)],
            buttons=[
                *(confirm if waits and may(request, Confirm.permission) else []),
                *cancel_button(request, obj.job),
            ],
            tables=[_counts(obj)] if obj.counts else [],
            job=obj.job,
            live=obj.job is not None and obj.job.is_open,
        )


def rebuild_verdict(row: Rebuild) -> Verdict:
    state = Rebuild.State(row.state)
    if state is Rebuild.State.DONE and row.changed and row.confirmed_at is None:
        return Verdict(
            _("waits for a person"), Tone.WARN, "person_alert",
            _("Nothing is pruned, and rebuilt plans do not start, until somebody confirms it."),
        )  # fmt: skip
    tones = {
        Rebuild.State.WAITING: (Tone.IDLE, "schedule"), Rebuild.State.RUNNING: (Tone.BUSY, "progress_activity"),
        Rebuild.State.DONE: (Tone.GOOD, "check_circle"), Rebuild.State.FAILED: (Tone.BAD, "error"),
    }  # fmt: skip
    return Verdict(str(state.label), *tones[state])


def _counts(row: Rebuild) -> Table:
    rows = [[label(), f"{row.counts[name]:,}"] for name, label in LABELS if row.counts.get(name)]
    return Table(_("what was found"), [_("what"), _("how many")], rows)
