"""What a system checks of itself in a drill: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from backups.drill_checks.base import Check
from drcenter.plugins import load


@cache
def checks() -> dict[str, type[Check]]:
    """{key: check class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("backups.drill_checks", Check)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new check needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(checks().items())]


def build(key: str, options: Mapping[str, Any]) -> Check:
    """The check `key` with these options."""
    return checks()[key](options)
