"""The audit trail in the panel: to read and to search, never to change."""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.filters import AllValuesFieldListFilter
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from drcenter.audit.models import Entry, Result
from drcenter.audit.words import action_in_words, fact_in_words, type_in_words
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Fact, Record, Tone, Verdict
from drcenter.panel.pages import RecordAdmin
from drcenter.stored import shown

LOOKS = {
    Result.DONE: (Tone.GOOD, "check_circle"),
    Result.REFUSED: (Tone.WARN, "block"),
    Result.FAILED: (Tone.BAD, "error"),
}


def entry_verdict(entry: Entry) -> Verdict:
    tone, icon = LOOKS[Result(entry.result)]
    return Verdict(entry.get_result_display(), tone, icon, str(entry))


class ActionFilter(AllValuesFieldListFilter):
    """The actions that occur, in words."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": action_in_words(str(choice["display"]))}


class TypeFilter(AllValuesFieldListFilter):
    """The kinds of things that occur, in words."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": type_in_words(str(choice["display"]))}


@admin.register(Entry)
class EntryAdmin(RecordAdmin):
    list_display = ("at", "actor", "what", "object_name", "verdict")
    list_filter = ("result", ("action", ActionFilter), ("object_type", TypeFilter))
    search_fields = ("actor", "action", "object_name", "object_id")
    date_hierarchy = "at"
    empty_hint = gettext_lazy(
        "Every act that changes something, and every one that was refused, is written here."
    )

    @display(description=gettext_lazy("action"), ordering="action")
    def what(self, entry: Entry) -> str:
        return action_in_words(entry.action)

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
            Fact(_("action"), action_in_words(obj.action)),
            Fact(_("key"), obj.action, code=True),
            Fact(_("object"), obj.object_name),
            Fact(_("object type"), type_in_words(obj.object_type)),
            Fact(_("object id"), obj.object_id),
        ]
        for name, value in obj.facts.items():
            plain = _plain(value)
            facts.append(Fact(fact_in_words(name), plain, code=plain[:1] in {"{", "["}))
        return Record(verdict=entry_verdict(obj), facts=facts)


def _plain(value: object) -> str:
    """Text in the reader's language; a list of texts as one line; anything else as JSON."""
    if isinstance(value, bool):
        return words.yes_or_no(value)
    if isinstance(value, (str, int, float)):
        return shown(str(value))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(shown(one) for one in value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)
