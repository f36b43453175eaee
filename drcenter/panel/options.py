"""The options of a plugin as fields of the admin form of its row (DESIGN.md §4).

A row names its plugin in one field (`engine`, `kind`) and holds its options in `options`. Adding asks for
the plugin first; its form then stands among the row's own fields, and what it accepts is what is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from drcenter.panel.widgets import dress

# Prefix of the options' fields: an option may be called like a field of the row.
PREFIX = "option"


def field_name(option: str) -> str:
    """The name that Django gives to the field `option` of a form with our prefix."""
    return f"{PREFIX}-{option}"


class OptionsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The row's own fields, and those of the plugin's form, which has the last word about them."""

    plugin: ClassVar[Any]
    plugin_key: ClassVar[str]
    plugin_field: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        setattr(self.instance, self.plugin_field, self.plugin_key)
        for option in self.plugin.Options.base_fields:
            if option in self.instance.options:
                self.initial[field_name(option)] = self.instance.options[option]

    def clean(self) -> dict[str, Any]:
        super().clean()
        bound = self.plugin.Options(data=self.data, files=self.files, prefix=PREFIX)
        if bound.is_valid():
            self.instance.options = dict(bound.cleaned_data)
        for option, errors in bound.errors.items():
            name = field_name(option)
            if option == NON_FIELD_ERRORS:
                self.add_error(None, errors)
            elif name in self.fields and name not in self.errors:
                self.add_error(name, errors)
        return self.cleaned_data


class OptionsAdmin:
    """Mixed into a ModelAdmin of a model with `options`. Its page of choice has one link for each plugin."""

    plugin_field: str
    options_form: type[OptionsForm] = OptionsForm
    # Fields of the row itself, in the order of the form.
    own_fields: Sequence[str] = ()
    choose_title: Any = ""

    def plugins(self) -> Mapping[str, Any]:
        """{key: plugin class}."""
        raise NotImplementedError

    def plugin_key(self, request: HttpRequest, obj: models.Model | None) -> str | None:
        """Which plugin this form is about: the row's, or for a new one the address's."""
        key = getattr(obj, self.plugin_field) if obj is not None else request.GET.get(self.plugin_field, "")
        return key if key in self.plugins() else None

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self.plugin_key(request, None) is None and self.has_add_permission(request):  # type: ignore[attr-defined]
            return self._choose(request)
        response: HttpResponse = super().add_view(request, form_url, extra_context)  # type: ignore[misc]
        return response

    def _choose(self, request: HttpRequest) -> HttpResponse:
        keep = request.GET.copy()
        choices = []
        for key, plugin in sorted(self.plugins().items()):
            keep[self.plugin_field] = key
            choices.append({"key": key, "label": plugin.label, "query": keep.urlencode()})
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": self.choose_title,
            "opts": self.model._meta,  # type: ignore[attr-defined]
            "choices": choices,
        }
        return TemplateResponse(request, "panel/choose_plugin.html", context)

    def get_form(
        self, request: HttpRequest, obj: models.Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        key = self.plugin_key(request, obj)
        if key is None:
            return super().get_form(request, obj, change, **kwargs)  # type: ignore[misc]
        plugin = self.plugins()[key]
        declared: dict[str, Any] = {
            field_name(name): dress(field) for name, field in plugin.Options().fields.items()
        }
        declared |= {"plugin": plugin, "plugin_key": key, "plugin_field": self.plugin_field}
        kwargs["form"] = type("RowWithOptionsForm", (self.options_form,), declared)
        return super().get_form(request, obj, change, **kwargs)  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        # Its options would mean nothing to another plugin: the choice is made once.
        return (self.plugin_field,)

    def get_fieldsets(self, request: HttpRequest, obj: models.Model | None = None) -> list[Any]:
        own = (None, {"fields": [self.plugin_field, *self.own_fields]})
        key = self.plugin_key(request, obj)
        if key is None:
            return [own]
        if not self._may_save(request, obj):
            return [own, (_("Options"), {"fields": ["options"]})]
        names = [field_name(name) for name in self.plugins()[key].Options.base_fields]
        return [own, (_("Options"), {"fields": names})] if names else [own]

    def _may_save(self, request: HttpRequest, obj: models.Model | None) -> bool:
        asked = self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)  # type: ignore[attr-defined]
        return bool(asked)
