"""Restoring from a copy: beside the original, or over production."""

import re
from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.admin.acts import CopyAct
from backups.admin.identity import IdentityField
from backups.admin.places import source_host, source_target
from backups.models import Copy, Set, Source
from backups.recovery import beside, foretell, restore, restored
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel.look import Notice, Tone
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm

# Of a path; the file system takes 4,096 bytes.
LONGEST_PATH = 1000
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")


def _proposed(row: Set, source: Source) -> tuple[str, str]:
    """What the field for the place is called, and what stands in it at first."""
    try:
        on_disk, place = source.build().beside_on_disk, beside.default_name(row, source)
    except (OperationFailed, KeyError):
        return _("Name of the new place"), ""
    return (_("Where to (absolute path)") if on_disk else _("Name of the new database")), place


def restorable(copy: Copy) -> list[Source]:
    """The sources of the set that still exist here; others need restore.sh from the set itself."""
    found = Source.objects.filter(parts__set=copy.set).distinct()
    return list(found.select_related("system").order_by("name"))


def gone_notices(copy: Copy) -> list[Notice]:
    names = sorted(set(copy.set.parts.filter(source=None).values_list("source_name", flat=True)))
    if not names:
        return []
    return [
        Notice(
            _("Not here any more: %(names)s.") % {"names": ", ".join(names)},
            _(
                "These sources were deleted. Their parts can be restored by restore.sh, which lies in the set."
            ),
            Tone.WARN,
        )
    ]


class BesideForm(PanelForm):
    """One check box and one name for each source, and the identity where the set is encrypted."""

    def __init__(self, *args: Any, sources: Sequence[Source], row: Set, **kwargs: Any) -> None:
        self.sources = sources
        super().__init__(*args, **kwargs)
        for source in sources:
            self.fields[f"use_{source.pk}"] = forms.BooleanField(
                required=False, initial=True, label=source.name
            )
            label, initial = _proposed(row, source)
            # A path is long: in an area it is seen as a whole, on a telephone too.
            area = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "off"})
            self.fields[f"name_{source.pk}"] = forms.CharField(
                required=False, max_length=LONGEST_PATH, label=label, initial=initial,
                widget=area if initial.startswith("/") else forms.TextInput(),
            )  # fmt: skip
        if row.encrypted:
            self.fields["identity"] = IdentityField().for_set(row)
        self.dress()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "source": source,
                "target": source_target(source),
                "use": self[f"use_{source.pk}"],
                "name": self[f"name_{source.pk}"],
            }
            for source in self.sources
        ]

    def clean(self) -> dict[str, Any]:
        data = dict(super().clean() or self.cleaned_data)
        self.chosen = [source for source in self.sources if data.get(f"use_{source.pk}")]
        self.names = {source.name: data.get(f"name_{source.pk}", "") for source in self.chosen}
        if not self.chosen:
            raise ValidationError(_("Choose at least one source."))
        for source in self.chosen:
            if fault := self._fault(source):
                self.add_error(f"name_{source.pk}", fault)
        return data

    def _fault(self, source: Source) -> str:
        """What is wrong with the place of a source; "" if nothing is."""
        name = self.names[source.name]
        if not NAME.match(name) and not (name.startswith("/") and source.build().beside_on_disk):
            return _("Letters, digits, dots, hyphens and underscores; a letter or digit first.")
        try:
            beside.check_places(source.system, [source], self.names)
        except OperationFailed as error:
            return str(error)
        return ""


class RestoreBeside(CopyAct):
    permission = permissions.RESTORE_BESIDE
    action = "recovery.request_beside"
    form_class = BesideForm
    template = "panel/restore_beside.html"

    def title(self) -> str:
        return _("Restore beside: %(set)s") % {"set": self.row.set}

    def submit_label(self) -> str:
        return _("Restore beside the original")

    def steps(self) -> list[str]:
        return [
            _("A new database is made on the server of the original; it must not exist yet."),
            _(
                "Files and SQLite databases lie below %(root)s, which nobody else may enter and no plan backs up; "
                "another absolute path, or a name next to the original, is possible."
            )
            % {"root": restored.root()},
            _("The chosen sources are restored there, and compared with what the set says of them."),
            _("The original is not touched. When the restore fails, the new place is removed again."),
        ]

    def notices(self) -> list[Notice]:
        return gone_notices(self.row)

    def form_arguments(self) -> dict[str, Any]:
        return {"sources": restorable(self.row), "row": self.row.set}

    def perform(self, form: Any) -> str:
        recovery = restore.request_beside(
            self.row,
            sources=form.chosen,
            names=form.names,
            requested_by=self.actor,
            identity=form.cleaned_data.get("identity"),
        )
        messages.success(self.request, _("The restore was requested."))
        for source in form.chosen:
            if warning := beside.exposed(source.build().beside(form.names[source.name])):
                messages.warning(self.request, warning)
        return address(recovery)


class ProductionForm(PanelForm):
    typed_host = forms.CharField(
        max_length=250, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )
    reason = forms.CharField(
        max_length=500, widget=forms.Textarea(attrs={"rows": 2}), label=gettext_lazy("Why"),
        help_text=gettext_lazy("For the person who approves it, and for the trail."),
    )  # fmt: skip
    skip_safety = forms.BooleanField(
        required=False,
        label=gettext_lazy("Without a safety backup"),
        help_text=gettext_lazy("Only when what runs now cannot be read any more: then there is no way back."),
    )

    skip_stop = forms.BooleanField(
        required=False,
        label=gettext_lazy("Without the stop commands"),
        help_text=gettext_lazy(
            "Only when the application is stopped already, or too broken to be stopped. It is started at the end."
        ),
    )

    def __init__(self, *args: Any, words: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["typed_host"].label = _("Type the system and the host: %(words)s") % {"words": words}
        self.fields["typed_host"].help_text = _(
            "So that nobody overwrites the wrong system, or the wrong machine."
        )


class RestoreProduction(CopyAct):
    """First the sources (a GET without effect), then the steps, the host to type, and the act."""

    permission = permissions.RESTORE_PRODUCTION
    action = "recovery.request_production"
    form_class = ProductionForm
    template = "panel/restore_production.html"
    dangerous = True

    def title(self) -> str:
        return _("Restore into production: %(set)s") % {"set": self.row.set}

    def submit_label(self) -> str:
        return _("Ask for approval")

    @property
    def available(self) -> list[Source]:
        return [source for source in restorable(self.row) if not source.build().for_reading]

    @property
    def chosen(self) -> list[Source]:
        """Those named in the address; the only one there is needs no choice."""
        wanted = set(self.request.GET.getlist("source"))
        available = self.available
        if len(available) == 1:
            return available
        return [source for source in available if str(source.pk) in wanted]

    def form_arguments(self) -> dict[str, Any]:
        return {"words": ", ".join(self._words())}

    def _words(self) -> list[str]:
        try:
            return restore.to_type(self.chosen)
        except OperationFailed:
            return []

    def post(self, request: Any, pk: int) -> HttpResponse:
        if not self.chosen:
            return self.get(request, pk)
        return super().post(request, pk)

    def steps(self) -> list[str]:
        if not self.chosen:
            return []
        try:
            skipped = {name: name in self.request.POST for name in ("skip_safety", "skip_stop")}
            return restore.describe_production(self.row, self.chosen, **skipped)
        except OperationFailed as error:
            return [str(error)]

    def notices(self) -> list[Notice]:
        warning = Notice(
            _("This overwrites what runs now."),
            _(
                "Everything that was written since %(moment)s is lost there. "
                "A safety backup is taken first, so that the way back stays open."
            )
            % {"moment": self._moment()},
        )
        nothing = Notice(_("No source was chosen."), _("Choose at least one; nothing was done."))
        asked = "asked" in self.request.GET and not self.chosen
        refused = [Notice(error.message, error.hint) for error in foretell.refusals(self.row, self.chosen)]
        return [*([nothing] if asked else []), *refused, warning, self._next(), *gone_notices(self.row)]

    @staticmethod
    def _next() -> Notice:
        return Notice(
            _("Nothing runs yet: this writes the plan down."),
            _("Another person with the right approves exactly that, then you begin it, with the identity."),
            Tone.FAIR,
        )

    def _moment(self) -> str:
        from django.utils.formats import date_format

        moment = self.row.set.moment or self.row.set.started_at
        return date_format(timezone.localtime(moment), "DATETIME_FORMAT") if moment else "?"

    def context(self, form: Any) -> dict[str, Any]:
        places = [
            {"source": source, "target": source_target(source), "host": source_host(source)}
            for source in (self.chosen or self.available)
        ]
        return {**super().context(form), "places": places, "choosing": not self.chosen}

    def perform(self, form: Any) -> str:
        for error in foretell.refusals(self.row, self.chosen):
            raise error
        recovery = restore.request_production(
            self.row,
            sources=self.chosen,
            typed_host=form.cleaned_data["typed_host"].strip(),
            requested_by=self.actor,
            user=cast(User, self.request.user),
            reason=form.cleaned_data["reason"].strip(),
            skip_safety=form.cleaned_data["skip_safety"],
            skip_stop=form.cleaned_data["skip_stop"],
        )
        messages.success(
            self.request, _("The plan is written down. Another person approves it, then it can begin.")
        )
        return address(recovery)
