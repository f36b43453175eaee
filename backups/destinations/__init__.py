"""Destinations: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from backups.destinations._retry import Retrying
from backups.destinations.base import Destination
from drcenter.plugins import load


@cache
def destinations() -> dict[str, type[Destination]]:
    """{key: destination class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("backups.destinations", Destination)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new destination needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(destinations().items())]


def build(key: str, options: Mapping[str, Any]) -> Destination:
    """The destination `key` with these options; what can be repeated is repeated after transient errors."""
    return Retrying(destinations()[key](options))
