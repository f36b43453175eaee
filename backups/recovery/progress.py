"""What the recorded steps of a recovery tell of production: what is done, what is half done, what is as it was (pure).

A step has a stable key: "stop:0", "safety", "overwrite:SOURCE", "compare:SOURCE", "clean_up:0", "start:0", "put_back:SOURCE".
It is written down before it begins (`ok` None) and after it ended; one that was never ended was broken off.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Steps = Sequence[Mapping[str, Any]]
OVERWRITE, PUT_BACK = "overwrite:", "put_back:"
# After one of these began, an earlier success of a step counts no more: it was done for another state of things.
UNDONE_BY = {
    "stop": ("start", "give_back"),
    "halt": ("start", "give_back"),
    "clean_up": (OVERWRITE, PUT_BACK),
    "start": ("stop", "halt", OVERWRITE, PUT_BACK, "clean_up"),
    "give_back": ("stop", "halt", OVERWRITE, PUT_BACK, "clean_up"),
}


class Standing(StrEnum):
    """What a source holds now."""

    OLD = "old"
    HALF = "half"
    NEW = "new"


def standing(steps: Steps, source: str) -> Standing:
    """By the last thing that was done to it. A step that changed nothing, and says so, does not count."""
    for step in reversed(steps):
        key = step.get("key", "")
        if key not in {OVERWRITE + source, PUT_BACK + source} or step.get("untouched"):
            continue
        if step.get("ok") is not True:
            return Standing.HALF
        return Standing.NEW if key.startswith(OVERWRITE) else Standing.OLD
    return Standing.OLD


def is_done(steps: Steps, key: str) -> bool:
    """Whether the step ended well, and nothing that came after it has made that void."""
    name, _colon, source = key.partition(":")
    for step in reversed(steps):
        found = str(step.get("key", ""))
        if found == key and step.get("ok") is True:
            return True
        if found in {OVERWRITE + source, PUT_BACK + source} or found.startswith(UNDONE_BY.get(name, ("\0",))):
            return False
    return False


def has_begun(steps: Steps, prefix: str) -> bool:
    return any(str(step.get("key", "")).startswith(prefix) for step in steps)


def has_overwritten(steps: Steps) -> bool:
    """Whether anything of production may have been changed by it."""
    return any(str(step.get("key", "")).startswith(OVERWRITE) and not step.get("untouched") for step in steps)
