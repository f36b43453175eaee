"""Destinations: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from backups.destinations._retry import Retrying
from backups.destinations._roles import as_role, option
from backups.destinations.base import Destination, Role
from drcenter.plugins import load


@cache
def destinations() -> dict[str, type[Destination]]:
    """{key: destination class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("backups.destinations", Destination)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new destination needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(destinations().items())]


def build(key: str, options: Mapping[str, Any], role: Role = Role.WRITE) -> Destination:
    """The destination `key` with these options; what can be repeated is repeated after transient errors.

    It has the credentials of `role`, or the writer's where that has none of its own.
    """
    return Retrying(build_impatient(key, options, role))


def build_impatient(key: str, options: Mapping[str, Any], role: Role = Role.WRITE) -> Destination:
    """As `build`, but the first error is told: for the connection test."""
    plugin = destinations()[key]
    return plugin(as_role(options, plugin.credentials, role))


def shares_writer(key: str, options: Mapping[str, Any], role: Role) -> bool:
    """True if `role` could have credentials of its own there, and uses the writer's."""
    names = destinations()[key].credentials
    return bool(names) and not any(options.get(option(name, role)) for name in names)
