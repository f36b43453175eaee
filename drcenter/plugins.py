"""A file in a plugin folder is a plugin; its file name is its key in the database."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

Base = TypeVar("Base")


def load(package: str, base: type[Base]) -> dict[str, type[Base]]:
    """Return {file name: its `Plugin` class} for every public module of `package`.

    Raises ImproperlyConfigured, at start and by name, for a file without a complete plugin.
    Modules whose names begin with "_", and `base`, are not plugins.
    """
    found: dict[str, type[Base]] = {}
    for module in iter_modules(import_module(package).__path__):
        if module.name == "base" or module.name.startswith("_"):
            continue
        plugin = getattr(import_module(f"{package}.{module.name}"), "Plugin", None)
        found[module.name] = _checked(f"{package}.{module.name}", plugin, base)
    return found


def _checked(name: str, plugin: object, base: type[Base]) -> type[Base]:
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise ImproperlyConfigured(f"{name} must define class Plugin({base.__name__})")
    if missing := getattr(plugin, "__abstractmethods__", None):
        raise ImproperlyConfigured(f"{name}.Plugin lacks {', '.join(sorted(missing))}")
    return plugin
