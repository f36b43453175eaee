"""What the attempt to take one set has in its hands."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

import pyrage
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import Reader, Stored
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.models import Copy, Destination, Part, Set, Source
from backups.pipe.stream import StoredPart
from backups.storage import configuration, layout, origins
from backups.storage.readback import ReadableCopy
from backups.storage.references import owner_of, refer
from backups.takes import preflight, tables
from backups.takes.meeting import Moment
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, Line
from drcenter.secrets import redact
from drcenter.stored import in_english

KIND = "backups.take"


def enqueue_take(wanted: Set, requested_by: str) -> Job:
    """A job that takes the set; one at a time works on a system."""
    with in_english():
        title = _("Back up %(plan)s") % {"plan": wanted.plan}
    return enqueue(
        KIND, wanted.pk, target=f"system:{wanted.system_id}", title=title, requested_by=requested_by
    )


class Taking:
    """State of one attempt: destination, keys, parts stored so far, findings, times.

    The ephemeral identity lives here, in the worker's memory, and is gone with it: with it this attempt, and
    nobody later on this machine, can read back and prove what it stored.
    """

    def __init__(self, context: JobContext, one: Set) -> None:
        if one.plan is None:
            raise OperationFailed("The plan of this set is gone.", permanent=True)
        self.context, self.set, self.plan = context, one, one.plan
        self.recipients: list[str] = []
        self.ephemeral = pyrage.x25519.Identity.generate()
        self.parts: list[Part] = []
        self.sections: dict[str, Mapping[str, str]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        # The sets that sources are stored as increments on, and what the next increments need to know.
        self.bases: dict[str, Set] = {}
        self.indexes: list[tuple[Source, bytes]] = []
        # Of plans that store unchanged parts once: digests of the sources' witnesses.
        self.witnesses: dict[str, str] = {}
        self.findings: list[dict[str, Any]] = []
        self.timings: dict[str, float] = {}
        # What the set's own log is made of.
        self.logged: list[Line] = []
        # {source: {"from", "to", "snapshot", "taken", "position"}}, as the row and the details have it.
        self.moments: dict[str, dict[str, Any]] = {}
        # Sources may be dumped side by side: whoever adds to the above holds this.
        self.adding = threading.RLock()
        self._orders = 0
        # How much of the sources is in the set, without any name; "": all.
        self.in_clear = ""
        # What was published.
        self.manifest: layout.Manifest | None = None
        self.checksums_sha256 = ""
        # The row says that the set is complete.
        self.published = False
        # The proof found a difference.
        self.differs = False
        self.copy_row: Copy
        self.destination_or_none: DestinationPlugin | None = None

    # ------------------------------------------------------------------ where to

    def choose_destination(self, needed: int) -> None:
        """The first of the plan's destinations that has room takes the dump; the others get copies of it."""
        first: OperationFailed | None = None
        for row in self.plan.destinations.filter(enabled=True).order_by("name"):
            try:
                plugin = row.build()
                findings = preflight.check_space(plugin.space(), needed, plugin.target)
                # Out of reach, or its credentials revoked: better known before the dump than in it.
                next(iter(plugin.list(self.set.prefix)), None)
            except OperationFailed as error:
                self.found(row.name, [Finding(error.message, error.hint)])
                first = first or error
                continue
            self.destination_or_none = plugin
            self._open_copy(row)
            self.found(row.name, findings)
            return
        raise first or OperationFailed("The plan has no destination that is enabled.", permanent=True)

    def _open_copy(self, row: Destination) -> None:
        """The row of the copy, of this attempt: one that stalled and was given up must not leave any."""
        with transaction.atomic():
            if not self.mine().select_for_update().exists():
                raise OperationFailed(_("Another attempt has taken this set over."), permanent=True)
            fresh = {"state": Copy.State.WRITING, "level": "", "message": "", "verified_at": None}
            self.copy_row, _new = Copy.objects.update_or_create(fresh, set=self.set, destination=row)

    @property
    def destination(self) -> DestinationPlugin:
        if self.destination_or_none is None:
            raise OperationFailed("No destination was chosen yet.")
        return self.destination_or_none

    def others(self) -> Iterator[Copy]:
        """The copies that the plan's other destinations are to get."""
        rows = self.plan.destinations.filter(enabled=True).exclude(pk=self.copy_row.destination_id)
        for row in rows.order_by("name"):
            yield Copy.objects.get_or_create(set=self.set, destination=row)[0]

    def put(self, key: str, stream: Reader, *, size: int | None = None) -> Stored:
        """Store an object of the set; `size` is an estimate."""
        return self.destination.put(self.set.prefix + key, stream, expected_size=size)

    @property
    def readable(self) -> ReadableCopy:
        """The copy, with the ephemeral identity that opens it now."""
        return ReadableCopy(self.destination, self.set.prefix, self.identities)

    def readable_of(self, earlier: Set) -> ReadableCopy:
        """The copy of an earlier set at the same destination: to look at, since nothing here opens it."""
        return ReadableCopy(self.destination, earlier.prefix)

    # ------------------------------------------------------------------ for whom

    @property
    def encryption(self) -> Sequence[pyrage.x25519.Recipient]:
        """The recovery keys and the ephemeral one; none when the plan does not encrypt."""
        if not self.recipients:
            return []
        return [pyrage.x25519.Recipient.from_str(key) for key in self.recipients] + [
            self.ephemeral.to_public()
        ]

    @property
    def identities(self) -> list[pyrage.x25519.Identity]:
        return [self.ephemeral] if self.recipients else []

    # ------------------------------------------------------------------ what

    def next_key(self, source: Source, spec: PartSpec) -> tuple[int, str]:
        """The place of a part in the order of the restore, and its key."""
        order, encrypted = self._next_order(), bool(self.recipients)
        return order, layout.part_key(order, source.name, spec.name, spec.suffix, encrypted=encrypted)

    def add_part(self, source: Source, spec: PartSpec, order: int, key: str, stored: StoredPart) -> None:
        self.sections[key] = stored.sections
        self.parts.append(
            Part(
                set=self.set, source=source, source_name=source.name, order=order, name=spec.name,
                suffix=spec.suffix, engine=source.engine, tier=source.tier, key=key, plain_size=stored.plain_size,
                plain_blake3=stored.plain_blake3, stored_size=stored.stored_size,
                stored_sha256=stored.stored_sha256, seconds=stored.seconds,
            )
        )  # fmt: skip

    def build_on(self, source: Source, base: Set, parts: Sequence[Part]) -> None:
        """The source is stored as an increment on `base`: these parts of the earlier sets come before its own."""
        self.bases[source.name] = base
        for part in parts:
            self.add_reference(source, base, part, self._next_order())

    def _next_order(self) -> int:
        with self.adding:
            self._orders += 1
            return self._orders

    def add_reference(self, source: Source, earlier: Set, part: Part, order: int) -> None:
        """A part of the set `earlier` is one of this set, too."""
        known = ("name", "suffix", "engine", "tier", "plain_size", "plain_blake3", "stored_size", "stored_sha256")  # fmt: skip
        self.parts.append(
            Part(
                set=self.set, source=source, source_name=source.name, order=order,
                key=refer(earlier.identifier, part.key), **{name: getattr(part, name) for name in known},
            )
        )  # fmt: skip

    @property
    def own_parts(self) -> list[Part]:
        """Those that lie in the folder of this set."""
        return [part for part in self.parts if not owner_of(part.key)]

    @property
    def plain_size(self) -> int:
        """Bytes that a restore brings back, about: of increments what the source had when it was looked at."""
        sizes = {name: int(self.sources[name]["facts"].get("size", 0)) for name in self.bases}
        return sum(sizes.values()) + sum(
            part.plain_size for part in self.parts if part.source_name not in sizes
        )

    def note_moment(self, looked: preflight.Looked, snapshot: Snapshot, moment: Moment) -> None:
        """Between when and now the data of a source were read; or that they are all of one moment, which is that
        position of the server's log, and until when it was taken."""
        one_moment, taken = looked.engine.one_moment, snapshot.taken_at or moment.taken
        self.moments[looked.source.name] = {
            "from": moment.began.isoformat(), "to": timezone.now().isoformat(), "snapshot": one_moment,
            **({"taken": taken.isoformat()} if one_moment else {}), "position": dict(snapshot.position),
        }  # fmt: skip

    @property
    def moment(self) -> datetime | None:
        """What was committed before it is in the set, of every source."""
        return min((datetime.fromisoformat(one["from"]) for one in self.moments.values()), default=None)

    @property
    def spread(self) -> float | None:
        """Seconds after `moment` by which every source that has one moment had taken it; None: no source has."""
        taken = [datetime.fromisoformat(one["taken"]) for one in self.moments.values() if one["snapshot"]]
        if self.moment is None or not taken:
            return None
        # A clock that was set back in between knows no better.
        return max(0.0, round((max(taken) - self.moment).total_seconds(), 3))

    def note_partial(self, chosen: Sequence[tables.Chosen], sources: Sequence[Source]) -> None:
        """Say in the row, and later in the manifest, what is not in the set."""
        with in_english():
            self.set.partial = redact(tables.sentence(chosen, sources))
        self.in_clear = tables.in_clear(chosen)
        if self.set.partial:
            self.mine().update(partial=self.set.partial)
            self.log(self.set.partial, "warning")

    def note_source(self, looked: preflight.Looked, snapshot: Snapshot, witness: Witness) -> None:
        """What the encrypted detail file says of a source: its options (secrets by reference), and the witness.

        Of an increment the witness is of what has changed `since` the set that is named with its details' digest.
        """
        source, engine = looked.source, looked.engine
        if (index := snapshot.index()) is not None:
            self.indexes.append((source, index))
        narrowed = {"tables": list(looked.tables)} if looked.tables is not None else {}
        self.sources[source.name] = {
            "engine": source.engine, "tier": source.tier, "options": source.options | narrowed,
            "target": engine.target, "place": "" if engine.for_reading else engine.place, "host": engine.host,
            "facts": dict(looked.inspection.facts), "position": dict(snapshot.position),
            "moment": self.moments[source.name]["from"], "witness": witness.as_json(),
        }  # fmt: skip
        if snapshot.removed is not None:
            base = self.bases[source.name]
            since = {"set": base.identifier, "details_sha256": base.details_sha256}
            self.sources[source.name] |= {"since": since, "removed": list(snapshot.removed)}

    @property
    def details(self) -> dict[str, Any]:
        parts = {
            part.key: {
                "plain_size": part.plain_size,
                "plain_blake3": part.plain_blake3,
                "sections": self.sections.get(part.key, {}),
                "seconds": part.seconds,
            }
            for part in self.parts
        }
        catalogue = configuration.of_plan(self.plan, encrypted=self.set.encrypted)
        places = origins.places(((part.key, part.source_name) for part in self.parts), self.sources)
        return {
            "version": 1, "sources": self.sources, "parts": parts, "places": places, "findings": self.findings,
            "configuration": catalogue, "moments": self.moments, "spread": self.spread,
        }  # fmt: skip

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the job's log, and to the set's."""
        self.logged.append(Line(at=timezone.now(), level=level, text=redact(text)))
        self.context.log(text, level)

    def found(self, source: str, findings: Iterable[Finding]) -> None:
        """Note findings, in the set and in the log."""
        for finding in findings:
            line = {"source": source, **finding.as_json()}
            line |= {"message": redact(finding.message), "hint": redact(finding.hint)}
            with self.adding:
                if line in self.findings:
                    continue
                self.findings.append(line)
            self.log(
                f"{source}: {finding.message} {finding.hint}".strip(), "error" if finding.caps else "warning"
            )

    # ------------------------------------------------------------------ how well

    @property
    def capped(self) -> bool:
        return any(finding["caps"] for finding in self.findings)

    @property
    def cap_reason(self) -> str:
        return next((f"{one['source']}: {one['message']}" for one in self.findings if one["caps"]), "")

    @property
    def bytes_per_second(self) -> int | None:
        return self.plan.bandwidth_mib * 1024 * 1024 if self.plan.bandwidth_mib else None

    def mine(self) -> QuerySet[Set]:
        """The row, if it still belongs to this attempt: the condition of every update."""
        self.context.check()
        return Set.objects.filter(pk=self.set.pk, attempt=self.set.attempt, state=Set.State.RUNNING)

    def check_owner(self) -> None:
        """Asks the database; raises OperationFailed when the job belongs to another attempt, or was given up."""
        self.context.check()
        if not self.context.mine().exists():
            self.give_up()

    def give_up(self) -> NoReturn:
        """The job was taken away, which the heartbeat may not have seen yet."""
        self.context.stop("lost")
        self.context.check()
        raise OperationFailed("This attempt has ended.", permanent=True)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Adds the seconds spent inside to the set's timings."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self.adding:
                self.timings[name] = round(self.timings.get(name, 0.0) + time.monotonic() - began, 3)
