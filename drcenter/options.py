"""A plugin's options: a Django form on one side, the JSON of a row on the other."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from drcenter.errors import OperationFailed
from drcenter.secrets import is_reference


class SecretField(forms.CharField):
    """Takes a reference to a secret, and refuses what looks like the secret itself."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("help_text", _("A reference: env:NAME or file:/path. Never the value itself."))
        super().__init__(**kwargs)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if text and not is_reference(text):
            raise ValidationError(_("Write env:NAME or file:/path; the value itself is not stored here."))
        return text


class LinesField(forms.CharField):
    """One entry per line; the JSON holds a list."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 4}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = value if isinstance(value, list) else (value or "").splitlines()
        return [text for line in lines if (text := str(line).strip())]

    def clean(self, value: Any) -> Any:
        lines = self.to_python(value)
        self.validate(lines)
        return lines


def with_defaults(form: type[forms.Form], options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with the initial value of every field of `form` that they do not name."""
    filled = {name: field.initial for name, field in form().fields.items()}
    filled.update(options)
    return filled


def validated(form: type[forms.Form], options: Mapping[str, Any]) -> dict[str, Any]:
    """What the form makes of `options`, for the JSON of a row.

    Raises OperationFailed that names each field and what is wrong with it.
    """
    bound = form(data=with_defaults(form, options))
    if bound.is_valid():
        return dict(bound.cleaned_data)
    faults = "; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in bound.errors.items())
    raise OperationFailed(f"The options are not valid: {faults}", permanent=True)


def is_command_line(value: object) -> None:
    """Validates a list of commands, each a list of words: `[["php", "artisan", "down"]]`."""
    fits = isinstance(value, list) and all(
        isinstance(words, list) and words and all(isinstance(word, str) and word for word in words)
        for words in value
    )
    if not fits:
        raise ValidationError(
            _('Write a list of commands, each a list of words: [["php", "artisan", "down"]].')
        )
