"""The app in the panel: one file for each kind of page."""

from backups.admin import (
    destinations,
    keys,
    plans,
    profiles,
    rebuilds,
    recoveries,
    sets,
    sources,
    systems,
    verifications,
)

__all__ = [
    "destinations",
    "keys",
    "plans",
    "profiles",
    "rebuilds",
    "recoveries",
    "sets",
    "sources",
    "systems",
    "verifications",
]
