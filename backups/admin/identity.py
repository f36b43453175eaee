"""A person brings an age identity: it goes from the form to the act, and nowhere else."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.models import RecoveryKey, Set
from backups.recovery import identities
from backups.recovery.identities import IDENTITY
from drcenter.errors import OperationFailed
from drcenter.panel.widgets import NeverShownOrFile
from drcenter.secrets import Secret


class IdentityField(forms.CharField):
    """Takes an age identity, or the text or the file of an identity file or of a whole kit; gives a Secret, or None when left empty.

    What was typed is never rendered again, so a page that comes back asks for it anew.
    """

    widget = NeverShownOrFile
    # What it has to open; empty: nothing is known of that.
    _encrypted_to: list[str] = []

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("label", gettext_lazy("Recovery identity"))
        kwargs.setdefault(
            "help_text",
            gettext_lazy(
                "AGE-SECRET-KEY-… from the recovery kit. It is used for this one act, and not stored; "
                "close the kit again afterwards."
            ),
        )
        super().__init__(strip=True, max_length=50_000, **kwargs)

    def for_set(self, row: Set) -> "IdentityField":
        """Says whether it may stay empty for this set, and whose identity is needed when not."""
        usual = self.help_text
        self._encrypted_to = list(row.recipients)
        known = dict(RecoveryKey.objects.filter(for_drills=False).values_list("recipient", "name"))
        names = [known[one] for one in row.recipients if one in known]
        if _drill_identity_fits(row):
            told = _("Leave empty to use this machine's drill identity.")
        elif names:
            told = _("Needed: this set is encrypted to %(names)s.") % {"names": ", ".join(names)}
        else:
            told = _("Needed: this set is encrypted.")
        self.help_text = f"{told} {usual}"
        return self

    def clean(self, value: Any) -> Secret | None:  # type: ignore[override]
        text: str = super().clean(value)
        if not text:
            return None
        found = list(dict.fromkeys(IDENTITY.findall(text.upper())))
        if len(found) != 1:
            # The text itself must not stand in the message.
            raise ValidationError(
                _("This is not one age identity (a line that begins with AGE-SECRET-KEY-1).")
            )
        identity = Secret(found[0])
        if self._encrypted_to:
            try:
                identities.check_fits(self._encrypted_to, identity)
            except OperationFailed as error:
                raise ValidationError(f"{error.message} {error.hint}".strip()) from None
        return identity


def _drill_identity_fits(row: Set) -> bool:
    try:
        found = identities.for_drills()
    except (OperationFailed, OSError):
        return False  # The worker will say so; a page of a form does not fail for it.
    return any(str(one.to_public()) in row.recipients for one in found)
