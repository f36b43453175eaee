"""Dresses fields of plain Django forms in the panel's widgets."""

from typing import Any

from django import forms
from unfold import widgets as unfold

# Plugins declare plain Django forms; the panel decides how a field looks. Most special classes first.
DRESSES: tuple[tuple[type[forms.Widget], type[forms.Widget]], ...] = (
    (forms.CheckboxSelectMultiple, unfold.UnfoldAdminCheckboxSelectMultipleWidget),
    (forms.RadioSelect, unfold.UnfoldAdminRadioSelectWidget),
    (forms.SelectMultiple, unfold.UnfoldAdminSelectMultipleWidget),
    (forms.NullBooleanSelect, unfold.UnfoldAdminNullBooleanSelectWidget),
    (forms.Select, unfold.UnfoldAdminSelectWidget),
    (forms.Textarea, unfold.UnfoldAdminTextareaWidget),
    (forms.PasswordInput, unfold.UnfoldAdminPasswordWidget),
    (forms.CheckboxInput, unfold.UnfoldBooleanSwitchWidget),
    (forms.NumberInput, unfold.UnfoldAdminIntegerFieldWidget),
    (forms.URLInput, unfold.UnfoldAdminURLInputWidget),
    (forms.TextInput, unfold.UnfoldAdminTextInputWidget),
)


def dress(field: forms.Field) -> forms.Field:
    """`field` with the panel's widget of the same kind, its choices and attributes kept."""
    plain = field.widget
    if type(plain).__module__.startswith(("unfold", "drcenter")):
        return field
    for kind, dressed in DRESSES:
        if isinstance(plain, kind):
            field.widget = _like(plain, dressed)
            break
    return field


def _like(plain: forms.Widget, dressed: type[forms.Widget]) -> forms.Widget:
    attributes: dict[str, Any] = {name: value for name, value in plain.attrs.items() if name != "class"}
    widget = dressed(attrs=attributes)
    widget.is_required, widget.is_localized = plain.is_required, plain.is_localized
    if isinstance(plain, (forms.Select, forms.RadioSelect, forms.CheckboxSelectMultiple)):
        widget.choices = plain.choices  # type: ignore[attr-defined]
    return widget


class PanelForm(forms.Form):
    """A form of one of our own pages, dressed as the rest of the panel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()

    def dress(self) -> None:
        """Call it again after adding fields."""
        for field in self.fields.values():
            dress(field)


class NeverShown(forms.Textarea):
    """A text area that takes a secret and never gives it back: what was typed is not rendered again."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        classes = " ".join(unfold.TEXTAREA_CLASSES)
        quiet = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off", "rows": 2}
        super().__init__(attrs={**quiet, "class": f"{classes} drc-secret", **(attrs or {})})

    def format_value(self, value: Any) -> str:
        return ""
