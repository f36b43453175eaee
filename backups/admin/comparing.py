"""Asking for a comparison of a table of a copy with production."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.acts import CopyAct
from backups.admin.identity import IdentityField
from backups.models import Set, Source
from backups.replay import moments
from backups.rows import compare
from backups.rows.source import way_to
from drcenter import permissions
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm


class CompareForm(PanelForm):
    source = forms.ModelChoiceField(Source.objects.none(), label=gettext_lazy("Database"), empty_label=None)
    table = forms.CharField(
        max_length=200, label=gettext_lazy("Table"), help_text=gettext_lazy("As it was called then.")
    )
    counterpart = forms.CharField(
        max_length=200, required=False, label=gettext_lazy("Table in production"),
        help_text=gettext_lazy("Only if it has another name by now."),
    )  # fmt: skip
    moment = forms.CharField(
        max_length=40, required=False, label=gettext_lazy("As of, to the second"),
        help_text=gettext_lazy(
            "Where the log is archived, like 2025-06-17 14:00:00, in the system's zone. Empty: as this set holds it."
        ),
    )  # fmt: skip
    key = forms.CharField(
        max_length=500, required=False, label=gettext_lazy("Key"),
        help_text=gettext_lazy("Columns that tell rows apart, with commas; * for whole rows. Empty: the primary key."),
    )  # fmt: skip
    renamed = forms.CharField(
        max_length=500, required=False, label=gettext_lazy("Renamed columns"),
        help_text=gettext_lazy("then=now, with commas."),
    )  # fmt: skip

    def __init__(self, *args: Any, sources: Sequence[Source], row: Set, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["source"].queryset = Source.objects.filter(pk__in=[one.pk for one in sources])  # type: ignore[attr-defined]
        if row.encrypted:
            self.fields["identity"] = IdentityField().for_set(row)
        self.dress()

    def clean_renamed(self) -> dict[str, str]:
        pairs = [pair.strip() for pair in self.cleaned_data["renamed"].split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            raise forms.ValidationError(_("Write then=now."))
        return {then.strip(): now.strip() for then, _sign, now in (pair.partition("=") for pair in pairs)}

    def clean_key(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["key"].split(",") if name.strip()]


class CompareRows(CopyAct):
    permission = permissions.COMPARE_ROWS
    action = "rows.request_compare"
    form_class = CompareForm

    def title(self) -> str:
        return _("Compare rows with production: %(set)s") % {"set": self.row.set}

    def submit_label(self) -> str:
        return _("Compare")

    def steps(self) -> list[str]:
        return [
            _("The database is restored from this copy into a scratch server."),
            _("Production is read in one snapshot, without locks; nothing is written to it."),
            _("What was deleted, changed or added since is shown for 7 days; then it is removed."),
        ]

    def form_arguments(self) -> dict[str, Any]:
        found = Source.objects.filter(parts__set=self.row.set).distinct().order_by("name")
        return {"sources": [one for one in found if one.build().has_rows], "row": self.row.set}

    def perform(self, form: Any) -> str:
        data, copy, moment = form.cleaned_data, self.row, None
        if data["moment"]:
            zone = ZoneInfo(self.row.set.system.time_zone)
            moment = moments.read(data["moment"], zone, timezone.now())
            _known, _plan, copy = way_to(data["source"], moment)
        wanted = compare.request(
            copy, data["source"], data["table"], requested_by=self.actor, identity=data.get("identity"),
            counterpart=data["counterpart"], key=data["key"], renamed=data["renamed"], wanted_at=moment,
            exact=moment is not None,
        )  # fmt: skip
        messages.success(self.request, _("The comparison was requested."))
        return address(wanted)
