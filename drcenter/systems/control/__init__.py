"""Ways to stop an application and to start it again: one file each. The file name is the key that rows store."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from drcenter.plugins import load
from drcenter.systems.control.base import Control


@cache
def controls() -> dict[str, type[Control]]:
    """{key: class}. Raises ImproperlyConfigured for an incomplete one."""
    return load("drcenter.systems.control", Control)  # type: ignore[type-abstract]


def choices() -> list[tuple[str, str]]:
    """For the `choices` of a field: a callable, so that a new way needs no migration."""
    return [(key, plugin.label) for key, plugin in sorted(controls().items())]


def build(key: str, options: Mapping[str, Any]) -> Control:
    """The way `key` with these options."""
    return controls()[key](options)
