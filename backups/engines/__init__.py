"""Engines: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from backups.engines.base import Engine
from drcenter.plugins import load


@cache
def engines() -> dict[str, type[Engine]]:
    """{key: engine class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("backups.engines", Engine)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new engine needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(engines().items())]


def build(key: str, options: Mapping[str, Any]) -> Engine:
    """The engine `key` with these options."""
    return engines()[key](options)
