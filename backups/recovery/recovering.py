"""What one recovery has in its hands: copy, identities, and the list of steps that is its evidence."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyrage
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.engines.base import Engine
from backups.models import Approval, Part, Recovery, Source
from backups.recovery.placing import by_source
from backups.storage.readback import ReadableCopy
from backups.witness import Witness
from drcenter.errors import Cancelled
from drcenter.jobs.context import JobContext
from drcenter.secrets import redact

logger = logging.getLogger(__name__)

# Rows hold the first differences; there may be one for each of a million files.
SHOWN = 200


class Recovering:
    """State of one recovery. Every step is written down when it begins and when it ends: a lost worker leaves
    its trace, and what is true of production can be told from it."""

    def __init__(self, context: JobContext, recovery: Recovery) -> None:
        self.context, self.recovery = context, recovery
        self.set = recovery.copy.set
        self.destination = recovery.copy.destination.build(Role.READ)
        # The rows that were compared with the approved plan are those that are used: a later change has no effect.
        self.chosen = list(recovery.sources.select_related("system").order_by("pk"))
        self.approval: Approval | None = None
        self.identities: list[pyrage.x25519.Identity] = []
        self.details: dict[str, Any] = {}
        # What the recovery's state becomes on a failure, once production was touched.
        self.end_state: str = Recovery.State.DOWN if self.continues else ""
        # What is wrong, and no obstacle.
        self.warnings: list[str] = []
        # What else has to be said at the end: why the way back failed, and what to do now.
        self.afterword = ""
        self.hint = ""
        # Somebody wanted it to stop; the way back is deaf to that.
        self._stopped = False

    @property
    def continues(self) -> bool:
        """It goes on with, or undoes, a run that broke off: production may be half restored from the beginning."""
        return self.recovery.act != Recovery.Act.RUN

    def was_stopped(self, error: BaseException) -> bool:
        """True if it ended because somebody wanted it to: a child that was killed for that fails like any other."""
        self._stopped |= isinstance(error, Cancelled | KeyboardInterrupt) or self.context.cancelled
        return self._stopped

    def warn(self, text: str) -> None:
        self.warnings.append(redact(text))
        self.context.log(text, "warning")

    @property
    def readable(self) -> ReadableCopy:
        """The copy, with the identities that open it."""
        return ReadableCopy(self.destination, self.set.prefix, self.identities if self.set.encrypted else [])

    def sources(self) -> Iterator[tuple[Source, list[Part]]]:
        """The chosen sources with their parts, in the set's order."""
        chosen = {source.name: source for source in self.chosen}
        for name, parts in by_source(list(self.set.parts.all())).items():
            if name in chosen:
                yield chosen[name], parts

    def all_parts(self) -> list[Part]:
        return [part for _source, parts in self.sources() for part in parts]

    def expected(self, source: Source) -> Witness:
        """What the source held when the set was taken."""
        return Witness.from_json(self.details["sources"][source.name]["witness"])

    def room_for(self, source: Source) -> Witness:
        """What has to have room before the first part: of a chain what its full set held."""
        detail = self.details["sources"][source.name]
        return Witness.from_json(detail.get("first", detail["witness"]))

    def tables(self, source: Source) -> list[str]:
        """The only tables that the set holds of the source; empty: it is whole."""
        return list(self.details["sources"][source.name]["options"].get("tables") or [])

    def narrowed(self, source: Source, place: Engine) -> Engine:
        """`place`, narrowed to the tables that the set holds, whatever the source's options say by now."""
        return place.only(self.tables(source)) if place.by_table else place

    def mine(self) -> QuerySet[Recovery]:
        """The row, if it still belongs to this attempt: the condition of every update."""
        return Recovery.objects.filter(
            pk=self.recovery.pk, state=Recovery.State.RUNNING, job=self.context.job
        )

    @contextmanager
    def step(self, what: str, target: str, key: str = "") -> Iterator[None]:
        """Runs a step and writes down how long it took and how it ended. `key`: what it is called in `progress`.

        Raises OperationFailed when the row belongs to others by now: before the step, or after it.
        """
        self.context.phase(what, target)
        began = time.monotonic()
        line: dict[str, Any] = {
            "key": key,
            "attempt": self.recovery.attempt,
            "step": what,
            "target": redact(target),
            "ok": None,
            "message": "",
            "seconds": None,
        }
        self.recovery.steps.append(line)
        self._write_steps()
        try:
            yield
        except BaseException as error:
            line |= {"ok": False, "message": redact(str(error) or type(error).__name__)}
            raise
        else:
            line["ok"] = True
        finally:
            line["seconds"] = round(time.monotonic() - began, 2)
            self._write_steps()
            text = f"{what}: {target} ({line['seconds']} s) {line['message']}".strip()
            self.context.log(text, "info" if line["ok"] else "error")

    def _write_steps(self) -> None:
        """The panel's database may be away: a restore does not fail for that, and the next step writes them all.

        The row decides: raises OperationFailed when it is reached, and is not ours any more.
        """
        try:
            row = self.recovery
            mine = self.mine().update(steps=row.steps, differences=row.differences, counts=row.counts)
        except DatabaseError as error:
            logger.warning("recovery %s: its steps cannot be written yet: %s", self.recovery.pk, error)
            return
        if not mine:
            self.context.stop("lost")
            self.context.check()

    def note_differences(self, name: str, found: Sequence[str]) -> None:
        """Differences from the witness after a restore: shown on the recovery and in the log, the first of them."""
        lines = [redact(f"{name}: {difference}") for difference in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"{name}: … {len(found) - SHOWN}")
        self.recovery.differences += lines
        for line in lines:
            self.context.log(line, "error")

    def forget_differences(self, name: str) -> None:
        """Before a source is compared again: what an earlier attempt found was of another state."""
        row = self.recovery
        row.differences = [line for line in row.differences if not line.startswith(f"{name}: ")]

    def count(self, source: Source, place: Engine) -> dict[str, int]:
        """Rows of the critical tables, now (R7). One that the set does not have was made later, or dropped before it
        was taken: it is told, and no reason to fail."""
        names, held = source.options.get("critical_tables") or [], self.tables(source)
        if held:
            known = {*held, *(one.rpartition(".")[2] for one in held)}
            names = [name for name in names if name in known]
        contents = self.expected(source).contents
        there = {*contents, *(one.rpartition(".")[2] for one in contents)}
        for name in (one for one in names if one not in there):
            self.warn(
                _("%(table)s is named as critical in %(source)s, and is not in the set.")
                % {"table": name, "source": source.name}
            )
        names = [name for name in names if name in there]
        counted = place.counts(names) if names else {}
        if counted:
            self.recovery.counts[source.name] = counted
        return counted
