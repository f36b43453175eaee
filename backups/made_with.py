"""What a set was made with, and whether what was proven still is what is done (pure).

A proof, or a good drill, is about one way of making sets: these sources with these options, this version of each
server, these choices of the plan, these destinations. When any of it changes, nobody has shown yet that what is made
now comes back: the plan **needs proof**, until a set made the new way is proven, or rehearsed in a good drill.

The rule, exactly: of all sets of the plan that were proven or passed a drill, the one that was made last counts. The plan needs
proof when what would be made now differs from what that set was made with. A plan of which nothing was ever shown
does not need proof *again*; that it was never proven is said elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Choices of a plan that change what a set is; others (the schedule, retention) change when and for how long.
PLAN = ("tables", "encrypt", "increments", "store_once", "destinations")
# What inspections say of the version of a source's server, and of the tool that reads it.
VERSIONS = ("version", "major", "sqlite", "tool")


class What(StrEnum):
    """What has changed. `name` of a change is the source, or the choice of the plan; `detail` an option."""

    ADDED = "added"
    REMOVED = "removed"
    ENGINE = "engine"
    OPTION = "option"
    VERSION = "version"
    PLAN = "plan"


@dataclass(frozen=True)
class Change:
    what: What
    name: str
    detail: str = ""
    before: str = ""
    now: str = ""


@dataclass(frozen=True)
class Shown:
    """A set that was proven or passed a drill: when it was begun, and what it was made with."""

    begun: float
    made: Mapping[str, Any]


def made(plan: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """As rows keep it. `plan`: its choices by name; `sources`: of each its engine, options and versions (`source`)."""
    return {"plan": {name: plan[name] for name in PLAN}, "sources": dict(sources)}


def source(engine: str, options: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """One source. Empty options count as missing ones: a newer version of the product may know more of them."""
    given = {name: value for name, value in sorted(options.items()) if value not in ("", None, False, [], {})}
    versions = {name: str(facts[name]) for name in VERSIONS if facts.get(name) not in (None, "")}
    return {"engine": engine, "options": given, "versions": versions}


def needs_proof(now: Mapping[str, Any], shown: Sequence[Shown]) -> list[Change]:
    """What has changed since it was last shown that sets of a plan come back; empty: nothing, or nothing ever was."""
    known = [one for one in shown if one.made]
    if not known or not now:
        return []
    return changes(max(known, key=lambda one: one.begun).made, now)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Every difference. A version that one of the two does not know is none."""
    found = [
        Change(What.PLAN, name, before=_text(before["plan"].get(name)), now=_text(now["plan"].get(name)))
        for name in PLAN
        if before["plan"].get(name) != now["plan"].get(name)
    ]
    old, new = before["sources"], now["sources"]
    found += [Change(What.ADDED, name) for name in sorted(new.keys() - old.keys())]
    found += [Change(What.REMOVED, name) for name in sorted(old.keys() - new.keys())]
    for name in sorted(old.keys() & new.keys()):
        found += _of_source(name, old[name], new[name])
    return found


def _of_source(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    if old["engine"] != new["engine"]:
        return [Change(What.ENGINE, name, before=old["engine"], now=new["engine"])]
    found = [
        Change(
            What.OPTION, name, option, _text(old["options"].get(option)), _text(new["options"].get(option))
        )
        for option in sorted(old["options"].keys() | new["options"].keys())
        if old["options"].get(option) != new["options"].get(option)
    ]
    known = old["versions"].keys() & new["versions"].keys()
    return found + [
        Change(What.VERSION, name, one, old["versions"][one], new["versions"][one])
        for one in sorted(known)
        if old["versions"][one] != new["versions"][one]
    ]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
