"""Actions: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from drcenter.plugins import load
from incidents.actions.base import Action


@cache
def actions() -> dict[str, type[Action]]:
    """{key: class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("incidents.actions", Action)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new action needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(actions().items())]


def build(key: str, options: Mapping[str, Any]) -> Action:
    """The action `key` with these options."""
    return actions()[key](options)
