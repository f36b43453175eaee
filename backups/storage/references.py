"""Objects of earlier sets that a set refers to (pure).

A set whose files are an increment, or whose unchanged parts are stored once, names objects in the folders of
earlier sets of the same system as `../<identifier>/parts/…`. They are parts of it like its own: listed in its
manifest and in checksums.txt, in the order of the restore. Without those sets it does not restore: it *needs*
them.
"""

import re
from collections.abc import Iterable

REFERENCE = re.compile(r"\.\./(\d{8}T\d{6}Z-[0-9a-f]{8}-a[1-9]\d{0,5})/([A-Za-z0-9._/-]+)", re.ASCII)


def refer(identifier: str, key: str) -> str:
    """How another set of the same system names the object `key` of the set `identifier`; a reference stays one."""
    return key if owner_of(key) else f"../{identifier}/{key}"


def owner_of(key: str) -> str:
    """The identifier of the set in whose folder the object is; "" for the set's own."""
    match = REFERENCE.fullmatch(key)
    return match[1] if match else ""


def within(key: str) -> str:
    """The name of the object in the folder of the set that it belongs to."""
    match = REFERENCE.fullmatch(key)
    return match[2] if match else key


def located(prefix: str, key: str) -> str:
    """The whole key of an object of the set below `prefix` ("shop/20260102T…-a1/"), its own or a reference."""
    owner = owner_of(key)
    if not owner:
        return prefix + key
    system = prefix.removesuffix("/").rpartition("/")[0]
    return f"{system}/{owner}/{within(key)}"


def needed(keys: Iterable[str]) -> tuple[str, ...]:
    """The identifiers of the sets that those objects belong to, in the order of the objects: of a chain oldest first."""
    return tuple(dict.fromkeys(owner for key in keys if (owner := owner_of(key))))
