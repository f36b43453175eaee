"""What looking at a place finds, and what it proposes to do about it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backups import engines
from backups.engines.base import Engine, Finding
from backups.look.critical import proposed
from backups.models.plan import Tier
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

# What makes two sources the same thing, for each engine: the options that say where it is.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "files": ("path", "only"),
    "sqlite": ("path",),
    "mariadb": ("host", "port", "socket", "database"),
    "postgresql": ("host", "port", "database"),
    "sqlite_schema": ("path",),
    "mariadb_schema": ("host", "port", "socket", "database"),
    "postgresql_schema": ("host", "port", "database"),
    "certificates": ("path",),
    "git": ("path",),
    "redis": ("host", "port", "unix_socket"),
    # One for each machine.
    "information": (),
}


@dataclass
class ProposedSource:
    """One source: what a row would hold, and what looking at it gave.

    `secrets` maps an option to the value that its reference will lead to; `options` have no secret.
    `problem` is why it cannot be reached: then it is not created.
    """

    name: str
    engine: str
    tier: Tier
    options: dict[str, Any]
    secrets: dict[str, Secret] = field(default_factory=dict)
    size: int = 0
    target: str = ""
    findings: tuple[Finding, ...] = ()
    problem: OperationFailed | None = None
    # Why it belongs into the sets, for people.
    reason: str = ""
    # It is the whole machine's, not this application's: another system on the machine may have it, too.
    of_machine: bool = False

    @property
    def identity(self) -> tuple[Any, ...]:
        return identity(self.engine, self.options)

    def inspect(self) -> None:
        """Look at it through its engine: the size and the findings, or the problem."""
        with held_in_memory(self.secrets) as references:
            engine = engines.build(self.engine, self.options | references)
            self.target = engine.target
            try:
                found = engine.inspect()
                self._propose_critical(engine)
            except OperationFailed as problem:
                self.problem = problem
                return
        self.size, self.findings = found.size, tuple(found.findings)

    def _propose_critical(self, engine: Engine) -> None:
        """So that "critical tables every 6 hours" has something to take. What somebody has named stays."""
        if engine.by_table and "critical_tables" in engine.options and not engine.options["critical_tables"]:
            self.options["critical_tables"] = proposed(engine.tables())

    @property
    def critical_tables(self) -> list[str]:
        return list(self.options.get("critical_tables") or [])

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "critical_tables": self.critical_tables,
            "engine": self.engine,
            "tier": str(self.tier),
            "target": self.target,
            "reason": self.reason,
            "size": self.size,
            "findings": [finding.as_json() for finding in self.findings],
            "problem": self.problem.message if self.problem else "",
            "hint": self.problem.hint if self.problem else "",
        }


@dataclass
class Proposal:
    """A system with its sources. `facts` are pairs of what and value; `notes` are sentences to think about."""

    name: str
    description: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: list[ProposedSource] = field(default_factory=list)
    pause: list[list[str]] = field(default_factory=list)
    resume: list[list[str]] = field(default_factory=list)
    after_restore: list[list[str]] = field(default_factory=list)
    directory: str = ""
    user: str = ""
    # As visitors have it; "" where it is not known.
    address: str = ""

    @property
    def reachable(self) -> list[ProposedSource]:
        return [source for source in self.sources if source.problem is None]

    @property
    def out_of_reach(self) -> list[ProposedSource]:
        return [source for source in self.sources if source.problem is not None]

    @property
    def size(self) -> int:
        return sum(source.size for source in self.reachable)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "facts": dict(self.facts),
            "notes": self.notes,
            "sources": [source.as_json() for source in self.sources],
            "stop_commands": self.pause,
            "start_commands": self.resume,
            "clean_up_commands": self.after_restore,
        }


def identity(engine: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is the same for two sources that dump the same thing; the engine's defaults count as given."""
    filled = engines.build(engine, options).options if engine else {}
    names = IDENTITY.get(engine, tuple(sorted(filled)))
    return (engine, *(_comparable(filled.get(name)) for name in names))


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(sorted(value))
    return str(value or "")


@contextlib.contextmanager
def held_in_memory(secrets: Mapping[str, Secret]) -> Iterator[dict[str, str]]:
    """References to the secrets that work in this process, while the block runs; nothing touches a disk."""
    numbers: list[int] = []
    references = {}
    try:
        for name, secret in secrets.items():
            number = os.memfd_create("secret")
            numbers.append(number)
            os.write(number, secret.reveal().encode())
            references[name] = f"file:/proc/self/fd/{number}"
        yield references
    finally:
        for number in numbers:
            os.close(number)
