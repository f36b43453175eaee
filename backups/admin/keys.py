"""Recovery keys: the public halves, and whether somebody has shown to hold the others."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from backups.models import RecoveryKey, Set
from drcenter.panel import words
from drcenter.panel.badge import badge
from drcenter.panel.look import Record, Tone, Verdict
from drcenter.panel.pages import PanelAdmin


def key_verdict(key: RecoveryKey) -> Verdict:
    if not key.active:
        return Verdict(_("not used for new sets"), Tone.IDLE, "key_off")
    if key.held_at is None:
        return Verdict(
            _("never shown to be held"), Tone.BAD, "key_off",
            _("Nobody has proven to hold the identity. Without it, encrypted sets cannot be read: "
              "manage.py recovery-kit --check."),
        )  # fmt: skip
    sentence = _("Somebody proved to hold it %(time)s.") % {"time": words.ago(key.held_at)}
    return Verdict(_("held"), Tone.GOOD, "key", sentence)


def sets_encrypted_to(key: RecoveryKey) -> int:
    """How many sets that exist can be read with its identity."""
    found = Set.objects.complete().filter(encrypted=True).values_list("recipients", flat=True)
    return sum(key.recipient in recipients for recipients in found.iterator())


@admin.register(RecoveryKey)
class RecoveryKeyAdmin(PanelAdmin):
    list_display = ("name", "verdict", "active", "for_drills", "held_at", "recipient")
    list_filter = ("active", "for_drills")
    search_fields = ("name", "recipient")
    fields = ("name", "recipient", "active", "for_drills")
    empty_hint = gettext_lazy(
        "manage.py recovery-kit makes an identity on your terminal, prints the kit for the safe, "
        "and leaves only the public half here."
    )

    @display(description=gettext_lazy("state"))
    def verdict(self, key: RecoveryKey) -> str:
        return badge(key_verdict(key))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Sets are encrypted to it: another recipient would be another key.
        return ("recipient",) if obj is not None else ()

    def obstacles(self, obj: RecoveryKey) -> list[str]:
        count = sets_encrypted_to(obj)
        if not count:
            return []
        needed = ngettext("%(count)d set is encrypted to it.", "%(count)d sets are encrypted to it.", count)
        instead = _(
            "Keep it, so that everybody sees whose identity reads them. "
            "Retire it instead: switch off “new sets are encrypted to it” on its page."
        )
        return [f"{needed % {'count': count}} {instead}"]

    def consequences(self, obj: RecoveryKey) -> list[str]:
        return [
            _("No set needs it."),
            _("New sets are not encrypted to it any more; its identity opens none of them."),
        ]

    def record(self, request: HttpRequest, obj: RecoveryKey) -> Record:
        return Record(key_verdict(obj))
