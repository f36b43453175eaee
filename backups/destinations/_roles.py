"""Credentials for each role: a stolen writer shall neither delete nor overwrite."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from backups.destinations.base import Role

LABELS = {Role.PRUNE: _("{field}, for pruning"), Role.READ: _("{field}, for reading")}
Options = TypeVar("Options", bound=forms.Form)


def option(name: str, role: Role) -> str:
    """The option that holds the credential `name` of that role."""
    return name if role is Role.WRITE else f"{role}_{name}"


def split(form: type[Options], credentials: Iterable[str]) -> type[Options]:
    """`form` with each of these fields twice more: for pruning and for reading. Empty ones are those of writing."""
    added: dict[str, Any] = {}
    for role, label in LABELS.items():
        for name in credentials:
            field = deepcopy(form.base_fields[name])  # type: ignore[attr-defined]
            field.label, field.required = format_lazy(label, field=field.label), False
            added[option(name, role)] = field
    return type(form.__name__, (form,), {**added, "__module__": form.__module__, "__doc__": form.__doc__})


def as_role(options: Mapping[str, Any], credentials: Iterable[str], role: Role) -> dict[str, Any]:
    """`options` with the credentials of that role in the place of the writer's, as far as there are any."""
    own = {name: options[key] for name in credentials if options.get(key := option(name, role))}
    return {**options, **own}
