"""The app in the panel: one file for each kind of page."""

from backups.admin import (
    destinations,
    drill_settings,
    drills,
    keys,
    logs,
    plans,
    profiles,
    rebuilds,
    recoveries,
    rows,
    sets,
    sources,
    systems,
    verifications,
)

__all__ = [
    "destinations",
    "drill_settings",
    "drills",
    "keys",
    "logs",
    "plans",
    "profiles",
    "rebuilds",
    "recoveries",
    "rows",
    "sets",
    "sources",
    "systems",
    "verifications",
]
