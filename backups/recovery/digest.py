"""The digest of what a recovery will do, and what has changed between two versions of it (pure)."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# How a plan is written down; another number is another way, and another digest.
VERSION = 1


def canonical(plan: Mapping[str, Any]) -> str:
    """The one text of a plan: JSON with sorted keys, without spaces, ASCII. Raises TypeError, ValueError for what
    JSON cannot hold exactly (dates, NaN)."""
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(plan: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal digits: what a person approves."""
    return hashlib.sha256(canonical(plan).encode()).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Where two plans differ, in order: ("stop",), ("sources", "database", "options"). Empty if the digest is equal.

    Mappings are followed, everything else is compared whole.
    """
    return list(_changes(before, now, ()))


def _changes(before: Any, now: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            if (key in before) != (key in now):
                yield (*place, key)
            else:
                yield from _changes(before[key], now[key], (*place, key))
    # As text: Python takes 1, 1.0 and True for equal, their JSON is not.
    elif json.dumps(before, sort_keys=True) != json.dumps(now, sort_keys=True):
        yield place
