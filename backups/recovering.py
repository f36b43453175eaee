"""What one recovery has in its hands: copy, identities, and the list of steps that is its evidence."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyrage

from backups.engines.base import Engine
from backups.models import Part, Recovery, Source
from backups.placing import by_source
from backups.readback import ReadableCopy
from drcenter.jobs.context import JobContext
from drcenter.secrets import redact

# Rows hold the first differences; there may be one for each of a million files.
SHOWN = 200


class Recovering:
    """State of one recovery. Every step is written down when it ends, so that a lost worker leaves its trace."""

    def __init__(self, context: JobContext, recovery: Recovery) -> None:
        self.context, self.recovery = context, recovery
        self.set = recovery.copy.set
        self.destination = recovery.copy.destination.build()
        self.identities: list[pyrage.x25519.Identity] = []
        self.details: dict[str, Any] = {}
        # What the recovery's state becomes on a failure, once production was touched.
        self.end_state = ""

    @property
    def readable(self) -> ReadableCopy:
        """The copy, with the identities that open it."""
        return ReadableCopy(self.destination, self.set.prefix, self.identities if self.set.encrypted else [])

    def sources(self) -> Iterator[tuple[Source, list[Part]]]:
        """The chosen sources with their parts, in the set's order."""
        chosen = {source.name: source for source in self.recovery.sources.all()}
        for name, parts in by_source(list(self.set.parts.all())).items():
            if name in chosen:
                yield chosen[name], parts

    def all_parts(self) -> list[Part]:
        return [part for _source, parts in self.sources() for part in parts]

    @contextmanager
    def step(self, what: str, target: str) -> Iterator[None]:
        """Runs a step and writes down how long it took and how it ended."""
        self.context.phase(what, target)
        began = time.monotonic()
        line: dict[str, Any] = {"step": what, "target": target, "ok": True, "message": ""}
        try:
            yield
        except BaseException as error:
            line |= {"ok": False, "message": redact(str(error) or type(error).__name__)}
            raise
        finally:
            line["seconds"] = round(time.monotonic() - began, 2)
            self.recovery.steps.append(line)
            Recovery.objects.filter(pk=self.recovery.pk).update(steps=self.recovery.steps)
            self.context.log(
                f"{what}: {target} ({line['seconds']} s) {line['message']}".strip(),
                "info" if line["ok"] else "error",
            )

    def note_differences(self, source: Source, found: list[str]) -> None:
        """Differences from the witness after a restore: shown on the recovery, in full in the log's first lines."""
        lines = [f"{source.name}: {difference}" for difference in found[:SHOWN]]
        self.recovery.differences += lines
        for line in lines:
            self.context.log(line, "error")

    def count(self, source: Source, place: Engine) -> None:
        """Rows of the critical tables, now (R7)."""
        names = source.options.get("critical_tables") or []
        if names:
            self.recovery.counts[source.name] = place.counts(names)
