"""Dresses fields of plain Django forms in the panel's widgets."""

from typing import Any

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
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


class NeverShownOrFile(NeverShown):
    """The same, and beside it a file that holds the secret: its text counts as typed, and is kept nowhere.

    Files stay in memory: settings.FILE_UPLOAD_HANDLERS.
    """

    needs_multipart_form = True
    LARGEST = 20_000

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        area = super().render(name, value, attrs, renderer)
        place = {"name": f"{name}_file", "id": f"{(attrs or {}).get('id', name)}_file"}
        return SafeString(area + render_to_string("panel/or_file.html", {"file": place}))

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        typed = super().value_from_datadict(data, files, name) or ""
        given = files.get(f"{name}_file")
        if given is None:
            return str(typed)
        text = given.read(self.LARGEST).decode("utf-8", errors="replace")
        return f"{typed}\n{text}".strip()

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data and f"{name}_file" not in files
