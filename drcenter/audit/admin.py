"""The audit trail in the panel: to read and to search, never to change."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from drcenter.audit.models import Entry, Result
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Fact, Record, Tone, Verdict
from drcenter.panel.pages import RecordAdmin

LOOKS = {
    Result.DONE: (Tone.GOOD, "check_circle"),
    Result.REFUSED: (Tone.WARN, "block"),
    Result.FAILED: (Tone.BAD, "error"),
}


def entry_verdict(entry: Entry) -> Verdict:
    tone, icon = LOOKS[Result(entry.result)]
    return Verdict(entry.get_result_display(), tone, icon, str(entry))


@admin.register(Entry)
class EntryAdmin(RecordAdmin):
    list_display = ("at", "actor", "action", "object_name", "verdict")
    list_filter = ("result", "action", "object_type")
    search_fields = ("actor", "action", "object_name", "object_id")
    date_hierarchy = "at"
    empty_hint = gettext_lazy(
        "Every act that changes something, and every one that was refused, is written here."
    )

    @display(description=gettext_lazy("result"), ordering="result")
    def verdict(self, entry: Entry) -> str:
        return badge(entry_verdict(entry))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # "History" of a row leads here.
        return lookup in {"object_type__exact", "object_id__exact"} or bool(
            super().lookup_allowed(lookup, value, request)
        )

    def record(self, request: HttpRequest, obj: Entry) -> Record:
        facts = [
            Fact(_("at"), words.when(obj.at)),
            Fact(_("actor"), obj.actor),
            Fact(_("action"), obj.action),
            Fact(_("object"), obj.object_name),
            Fact(_("object type"), obj.object_type),
            Fact(_("object id"), obj.object_id),
        ]
        for name, value in obj.facts.items():
            facts.append(Fact(name, _plain(value), code=not isinstance(value, (str, int, float))))
        return Record(verdict=entry_verdict(obj), facts=facts)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
