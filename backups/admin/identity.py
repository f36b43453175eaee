"""A person brings an age identity: it goes from the form to the act, and nowhere else."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from drcenter.panel.widgets import NeverShown
from drcenter.secrets import Secret

IDENTITY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")


class IdentityField(forms.CharField):
    """Takes an age identity, or the text of an identity file; gives a Secret, or None when left empty.

    What was typed is never rendered again, so a page that comes back asks for it anew.
    """

    widget = NeverShown

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("label", _("Recovery identity"))
        kwargs.setdefault(
            "help_text",
            _(
                "AGE-SECRET-KEY-… from the recovery kit. It is used for this one act, and not stored; "
                "close the kit again afterwards."
            ),
        )
        super().__init__(strip=True, max_length=20_000, **kwargs)

    def clean(self, value: Any) -> Secret | None:  # type: ignore[override]
        text: str = super().clean(value)
        if not text:
            return None
        found = IDENTITY.findall(text.upper())
        if len(found) != 1:
            # The text itself must not stand in the message.
            raise ValidationError(
                _("This is not one age identity (a line that begins with AGE-SECRET-KEY-1).")
            )
        return Secret(found[0])
