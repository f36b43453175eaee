"""What a set will contain, and how large it will be, before the first one is taken."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.engines.base import Finding
from backups.models import Destination, Plan, Profile, Source, Tier
from backups.takes import preflight
from backups.takes.tables import Chosen, choose
from drcenter import sizes
from drcenter.deadline import within
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

# How a system gets a source of a tier that it does not have.
HOW_TO_ADD = {
    Tier.APPLICATION: gettext_lazy(
        "manage.py protect DIRECTORY proposes it, or add a source of the kind Files."
    ),
    Tier.DATABASE: gettext_lazy("manage.py protect DIRECTORY or a database URL proposes it."),
    Tier.CONFIGURATION: gettext_lazy(
        "manage.py protect DIRECTORY proposes it: .env, config, and the manifests."
    ),
    Tier.STORAGE: gettext_lazy("manage.py protect DIRECTORY proposes it; or add a source of the kind Files."),
    Tier.DOCUMENTATION: gettext_lazy(
        "Add a source of the kind Files for the directory of the documentation."
    ),
    Tier.EXTERNAL: gettext_lazy(
        "Add a source of the kind Command that exports the objects of the service to its standard output."
    ),
    Tier.SYSTEM: gettext_lazy("manage.py protect DIRECTORY proposes it: files in /etc, crontabs, and Redis."),
    Tier.GIT: gettext_lazy("Add a source of the kind Git state for the work tree."),
    Tier.CERTIFICATES: gettext_lazy(
        "Add a source of the kind Certificates, or drc-read certificates: docs/security.md."
    ),
    Tier.INFORMATION: gettext_lazy("Add a source of the kind Information about the machine."),
    Tier.SCRIPTS: gettext_lazy("Add a source of the kind Files for the directory of the scripts."),
    Tier.METADATA: gettext_lazy(
        "Add a source of the kind “schema and statistics only”, for the same database."
    ),
}


@dataclass(frozen=True)
class Line:
    """One source: the bytes that a dump of it would have, or why it cannot be read."""

    source: Source
    target: str
    size: int = 0
    findings: Sequence[Finding] = ()
    problem: OperationFailed | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source.name, "tier": self.source.tier, "engine": self.source.engine, "target": self.target,
            "size": self.size, "seconds": round(self.seconds, 2),
            "findings": [finding.as_json() for finding in self.findings],
            "problem": self.problem.message if self.problem else "",
            "hint": self.problem.hint if self.problem else "",
        }  # fmt: skip


@dataclass
class Estimate:
    """`stored`: bytes in each destination, as far as can be known. `missing`: tiers without a source, and what to do."""

    system: System
    lines: list[Line] = field(default_factory=list)
    missing: dict[Tier, str] = field(default_factory=dict)
    stored: int = 0
    places: list[tuple[str, list[Finding]]] = field(default_factory=list)

    @property
    def plain(self) -> int:
        return sum(line.size for line in self.lines)

    @property
    def problems(self) -> list[Line]:
        return [line for line in self.lines if line.problem is not None]

    @property
    def complete(self) -> bool:
        """True if a set would hold all of every tier that was asked for."""
        lacks = any(finding.caps for line in self.lines for finding in line.findings)
        return bool(self.lines) and not (self.missing or self.problems or lacks)

    def as_json(self) -> dict[str, Any]:
        return {
            "system": self.system.slug,
            "complete": self.complete,
            "plain_size": self.plain,
            "stored_size": self.stored,
            "sources": [line.as_json() for line in self.lines],
            "missing": {str(tier): how for tier, how in self.missing.items()},
            "destinations": [
                {"name": name, "findings": [finding.as_json() for finding in findings]}
                for name, findings in self.places
            ],
        }


def of_plan(plan: Plan, patience: float | None = None) -> Estimate:
    """What the plan's next set will be. `patience`: seconds that a source may take to answer."""
    tiers = plan.profile.tiers if plan.profile else ()
    chosen = choose(list(plan.chosen().select_related("system")), plan.tables)
    found = _looked(plan.system, chosen, tiers, patience)
    found.stored = preflight.packed(found.plain, plan)
    found.places = _places(list(plan.destinations.filter(enabled=True)), found.stored)
    return found


def of_profile(system: System, profile: Profile, patience: float | None = None) -> Estimate:
    """What a set of this profile would be, whether there is a plan for it or not."""
    sources = system.sources.filter(enabled=True, tier__in=profile.tiers).select_related("system")
    found = _looked(system, choose(list(sources.order_by("pk")), ()), profile.tiers, patience)
    found.stored = preflight.packed(found.plain, None)
    found.places = _places(list(Destination.objects.filter(enabled=True)), found.stored)
    return found


def _looked(
    system: System, sources: Sequence[Chosen], tiers: Sequence[str], patience: float | None
) -> Estimate:
    held = {one.source.tier for one in sources}
    missing = {
        Tier(tier): str(HOW_TO_ADD[Tier(tier)]) for tier in Tier.values if tier in tiers and tier not in held
    }
    return Estimate(system, [_line(one, patience) for one in sources], missing)


def _line(chosen: Chosen, patience: float | None) -> Line:
    """Look at one source; that one cannot be read keeps no other from being looked at."""
    source, began, target = chosen.source, time.monotonic(), ""
    try:
        target = source.build().target
        look = partial(preflight.look, [chosen])
        seen = (look() if patience is None else within(look, patience))[0].inspection
    except OperationFailed as error:
        # Which source it is stands beside it.
        message = error.message.removeprefix(f"{source}: ")
        problem = OperationFailed(message, error.hint, permanent=error.permanent)
        return Line(source, target, problem=problem, seconds=time.monotonic() - began)
    return Line(source, target, seen.size, tuple(seen.findings), seconds=time.monotonic() - began)


def _places(rows: Sequence[Destination], needed: int) -> list[tuple[str, list[Finding]]]:
    return [(row.name, _room(row, needed)) for row in rows]


def _room(row: Destination, needed: int) -> list[Finding]:
    try:
        plugin = row.build()
        return preflight.check_space(plugin.space(), needed, plugin.target)
    except OperationFailed as problem:
        return [Finding(problem.message, problem.hint, caps=True)]


def told(found: Estimate) -> list[str]:
    """For a terminal: a line for each source with what was found, then what is missing, then the sum."""

    lines = []
    for line in found.lines:
        size = _("cannot be read") if line.problem else sizes.size(line.size)
        lines.append(f"{line.source.name} ({line.source.get_tier_display()}): {size}  {line.target}")
        notes = [(line.problem.message, line.problem.hint)] if line.problem else []
        notes += [(finding.message, finding.hint) for finding in line.findings]
        lines += [f"  ! {message} {hint}".rstrip() for message, hint in notes]
    lines += [
        _("%(tier)s: no source. %(how)s") % {"tier": tier.label, "how": how}
        for tier, how in found.missing.items()
    ]
    both = {"plain": sizes.size(found.plain), "stored": sizes.size(found.stored)}
    lines.append(_("In all %(plain)s to read, about %(stored)s in each destination.") % both)
    for name, findings in found.places:
        lines += [f"  ! {name}: {finding.message} {finding.hint}".rstrip() for finding in findings]
    return lines
