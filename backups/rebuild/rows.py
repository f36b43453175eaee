"""Makes rows of what was read, a batch at a time. What the catalogue knows already is left as it is."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from backups.keep import pins
from backups.models import Copy, Destination, Level, Part, Set, Verification
from backups.models.level import RANK, lower
from backups.rebuild.read import Kind, Reading
from backups.rebuild.systems import Systems
from backups.storage import companions, recording
from backups.storage.layout import Manifest
from backups.storage.records import Record
from backups.storage.references import owner_of
from drcenter.audit.record import record as audit
from drcenter.jobs.models import OPEN
from drcenter.systems.models import System


@dataclass
class Batch:
    """The rows that one batch of readings adds, before they are written."""

    sets: list[Set] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    mended: list[Copy] = field(default_factory=list)
    verifications: list[Verification] = field(default_factory=list)
    needs: list[tuple[Set, Sequence[str]]] = field(default_factory=list)
    pinned: list[tuple[Set, Reading]] = field(default_factory=list)


class Rows:
    """Writes readings of one destination as rows. `counts` says what was done; a dry run writes nothing."""

    def __init__(self, destination: Destination, systems: Systems, *, dry_run: bool) -> None:
        self.destination, self.systems, self.dry_run = destination, systems, dry_run
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._named = False

    def take(self, readings: Sequence[Reading]) -> None:
        """One batch, in one transaction."""
        good = [one for one in readings if self._counted(one)]
        with transaction.atomic():
            known = self._known(good)
            batch = Batch()
            for reading in good:
                try:
                    self._one(reading, known.get((reading.folder.system, reading.folder.identifier)), batch)
                except ValidationError as error:
                    self._refuse(reading, "; ".join(error.messages))
            if not self.dry_run:
                self._write(batch)

    # ------------------------------------------------------------------ counting

    def _counted(self, reading: Reading) -> bool:
        """Count what it is; True if rows are made of it."""
        self.counts[str(reading.kind)] += 1
        self.counts["hidden"] += bool(reading.folder.hidden)
        self.counts["damaged"] += bool(reading.damage)
        if reading.kind not in {Kind.UNFINISHED}:
            self.problems += [f"{reading.folder.prefix.rstrip('/')}: {text}" for text in reading.problems]
        return reading.kind in {Kind.OURS, Kind.FOREIGN}

    def _refuse(self, reading: Reading, why: str) -> None:
        self.counts[str(reading.kind)] -= 1
        self.counts[str(Kind.REFUSED)] += 1
        self.problems.append(f"{reading.folder.prefix.rstrip('/')}: {why}")

    def _known(self, readings: Iterable[Reading]) -> dict[tuple[str, str], Set]:
        sets = Set.objects.filter(identifier__in=[one.folder.identifier for one in readings])
        found = sets.select_related("system", "job").prefetch_related("copies__verifications")
        return {(one.system.slug, one.identifier): one for one in found}

    # ------------------------------------------------------------------ one set

    def _one(self, reading: Reading, known: Set | None, batch: Batch) -> None:
        manifest = reading.manifest
        if manifest is None:
            raise ValueError("only readings with a manifest become rows")
        if known is not None and known.job is not None and known.job.state in OPEN:
            self.counts["under way"] += 1
            return
        if known is not None and known.state == Set.State.REMOVED:
            # Pruned here: what is left of it is held by a lock, or was put back.
            self.counts["removed here"] += 1
            return
        if self.dry_run:
            self._foresee(reading, known)
            return
        self.systems.note(reading)
        if known is None:
            one = self._new(reading, manifest, batch)
            self.counts["sets added"] += 1
        else:
            one = self._mend(reading, known, manifest, batch)
        self._copy(reading, one, known, batch)
        if pins.has_pins(reading.records):
            batch.pinned.append((one, reading))

    def _foresee(self, reading: Reading, known: Set | None) -> None:
        self.counts["sets added"] += known is None
        if known is not None and known.state != Set.State.COMPLETE:
            self.counts["sets brought back"] += 1
        self.counts["copies added"] += known is None or all(
            copy.destination_id != self.destination.pk for copy in known.copies.all()
        )

    def _new(self, reading: Reading, manifest: Manifest, batch: Batch) -> Set:
        system = self.systems.system(reading)
        plan = self.systems.plan(reading, system)
        one = Set(system=system, plan=plan, created_at=manifest.started_at)
        self._fill(one, reading, manifest)
        if self._clashes(one, batch):
            one.planned_at = None
        one.clean_fields(exclude=["job", "system", "plan"])
        parts = self._parts(one, reading, manifest, system)
        batch.sets.append(one)
        batch.parts += parts
        batch.needs += [(one, manifest.needs)] if manifest.needs else []
        return one

    def _clashes(self, one: Set, batch: Batch) -> bool:
        """Two sets of one planned time: a constraint forbids it, and the storage may say it."""
        if one.planned_at is None or one.plan is None:
            return False
        same = {"plan": one.plan, "planned_at": one.planned_at}
        return Set.objects.filter(**same).exists() or any(
            (other.plan, other.planned_at) == (one.plan, one.planned_at) for other in batch.sets
        )

    def _fill(self, one: Set, reading: Reading, manifest: Manifest) -> None:
        """The columns of the set: the manifest, then the details, then the newest record."""
        one.identifier, one.attempt, one.reason = manifest.identifier, manifest.attempt, manifest.reason
        one.state, one.capped, one.partial = Set.State.COMPLETE, manifest.capped, manifest.partial
        one.encrypted, one.recipients = manifest.encrypted, list(manifest.recipients)
        # Which tables it was asked for is not told; a plan that takes everything did not.
        one.apart = bool(manifest.partial and one.plan and not one.plan.tables)
        one.started_at, one.moment = manifest.started_at, manifest.moment
        one.finished_at, one.spread = manifest.finished_at, manifest.spread
        one.plain_size = _plain_size(manifest, reading)
        one.stored_size = sum(part.stored_size for part in manifest.parts if not owner_of(part.key))
        one.details_size, one.details_sha256 = manifest.details.size, manifest.details.sha256
        # A number that others signed says nothing of the order of our sets.
        one.number = manifest.number or None if reading.kind is Kind.OURS else None
        one.checksums_sha256 = reading.link.sha256 if reading.link else ""
        one.signing_key, one.foreign = manifest.signing_key, reading.kind is Kind.FOREIGN
        one.level, one.message, one.hint = Level.STORED, "", ""
        if reading.content is not None:
            one.findings = list(reading.content.get("findings", []))
        _newest(one, reading)

    def _parts(self, one: Set, reading: Reading, manifest: Manifest, system: System) -> list[Part]:
        told = (reading.content or {}).get("parts", {})
        parts = []
        for part in manifest.parts:
            private = told.get(part.key, {})
            row = Part(
                set=one, source=self.systems.source(reading, system, part), source_name=part.source,
                order=part.order, name=part.name, suffix=part.suffix, engine=part.engine, tier=part.tier,
                key=part.key, plain_size=part.plain_size, plain_blake3=private.get("plain_blake3", ""),
                stored_size=part.stored_size, stored_sha256=part.stored_sha256,
                seconds=private.get("seconds", 0.0),
            )  # fmt: skip
            row.clean_fields(exclude=["set", "source", "engine"])
            parts.append(row)
        return parts

    def _mend(self, reading: Reading, one: Set, manifest: Manifest, batch: Batch) -> Set:
        """A set that the catalogue knows: brought back if the catalogue had lost it, completed where it is bare."""
        adopted = one.foreign and reading.kind is Kind.OURS
        if one.state != Set.State.COMPLETE:
            self.counts["sets brought back"] += 1
            self._fill(one, reading, manifest)
            one.parts.all().delete()
            batch.parts += self._parts(one, reading, manifest, one.system)
            batch.needs += [(one, manifest.needs)] if manifest.needs else []
            one.save()
        elif adopted:
            self.counts["sets adopted"] += 1
            self._fill(one, reading, manifest)
            one.plan = self.systems.plan(reading, one.system)
            one.save()
            self._complete_parts(one, reading)
        elif reading.content is not None and one.parts.filter(plain_blake3="").exists():
            self.counts["sets completed"] += self._complete(one, reading)
        elif _is_newer(one, reading):
            _newest(one, reading)
            one.save()
        return one

    def _complete(self, one: Set, reading: Reading) -> bool:
        """Add what only an identity opens, where it was missing."""
        if not self._complete_parts(one, reading):
            return False
        one.findings = list((reading.content or {}).get("findings", []))
        _newest(one, reading)
        one.save()
        verifications = {
            check.recorded_at: check for copy in one.copies.all() for check in copy.verifications.all()
        }
        for record, private in reading.records:
            check = verifications.get(record.at)
            if check is not None and private is not None:
                _set(check, private.get("verification"), recording.VERIFICATION[1])
                check.save()
        return True

    def _complete_parts(self, one: Set, reading: Reading) -> bool:
        told = (reading.content or {}).get("parts", {})
        bare = [
            part for part in one.parts.filter(plain_blake3="") if told.get(part.key, {}).get("plain_blake3")
        ]
        for part in bare:
            part.plain_blake3, part.seconds = (
                told[part.key]["plain_blake3"],
                told[part.key].get("seconds", 0.0),
            )
        Part.objects.bulk_update(bare, ["plain_blake3", "seconds"])
        return bool(bare)

    def _name(self, record: Record) -> str:
        """What this place was called when the record was written. A row that holds nothing yet takes that name."""
        place, told = self.destination, record.destination
        if told != place.name and not self._named:
            free = not Destination.objects.filter(name=told).exists() and not place.copies.exists()
            if free and len(told) <= 60 and re.fullmatch(r"[-a-zA-Z0-9_]+", told):
                place.name = told
                place.save(update_fields=["name"])
                audit("system", "backups.destination.renamed", place, name=told)
        self._named = True
        return place.name

    # ------------------------------------------------------------------ its copy

    def _copy(self, reading: Reading, one: Set, known: Set | None, batch: Batch) -> None:
        copies = [] if known is None else list(known.copies.all())
        copy = next((copy for copy in copies if copy.destination_id == self.destination.pk), None)
        lost = copy is not None and copy.state in {Copy.State.WAITING, Copy.State.WRITING, Copy.State.FAILED}
        if copy is None or lost:
            copy = copy or Copy(set=one, destination=self.destination)
            self._fill_copy(copy, reading)
            copy.clean_fields(exclude=["set", "destination"])
            self.counts["copies added"] += 1
            (batch.copies if copy.pk is None else batch.mended).append(copy)
            self._judge(one, copy)
        seen = set() if copy.pk is None else {check.recorded_at for check in copy.verifications.all()}
        batch.verifications += self._verifications(reading, copy, seen)

    def _fill_copy(self, copy: Copy, reading: Reading) -> None:
        copy.state, copy.level, copy.message = Copy.State.COMPLETE, Level.STORED, ""
        for record, private in reading.records:
            if record.destination == self._name(
                record
            ):  # Of a folder that was copied by hand: of another place.
                _set(copy, record.public.get("copy"), recording.COPY[0])
                _set(copy, (private or {}).get("copy"), recording.COPY[1])
                copy.spoiled = companions.known(copy.spoiled)
                copy.recorded_at = record.at
        if reading.damage or reading.folder.hidden:
            copy.state, copy.level = Copy.State.DAMAGED, ""
            copy.message = reading.damage or _(
                "It is deleted, but a version of it is still there, behind delete markers."
            )

    def _judge(self, one: Set, copy: Copy) -> None:
        """A set is as good as its best copy that is known here."""
        levels = [copy.level] if copy.state == Copy.State.COMPLETE else []
        if one.pk is not None:
            others = one.copies.filter(state=Copy.State.COMPLETE).exclude(pk=copy.pk)
            levels += others.values_list("level", flat=True)
        best = max(levels, key=RANK.__getitem__, default="")
        one.level = lower(best, Level.STORED.value) if one.capped else best
        if one.pk is not None:
            one.save(update_fields=["level"])

    def _verifications(self, reading: Reading, copy: Copy, seen: set[datetime | None]) -> list[Verification]:
        rows = []
        for record, private in reading.records:
            told = record.public.get("verification")
            if (
                record.destination != self.destination.name
                or record.at in seen
                or not isinstance(told, Mapping)
            ):
                continue
            row = Verification(copy=copy, recorded_at=record.at, requested_by="")
            _set(row, told, recording.VERIFICATION[0])
            _set(row, (private or {}).get("verification"), recording.VERIFICATION[1])
            row.clean_fields(exclude=["copy", "job", "requested_by"])
            rows.append(row)
        self.counts["verifications added"] += len(rows)
        return rows

    # ------------------------------------------------------------------ writing

    def _write(self, batch: Batch) -> None:
        Set.objects.bulk_create(batch.sets)
        Part.objects.bulk_create(batch.parts)
        Copy.objects.bulk_create(batch.copies)
        Copy.objects.bulk_update(
            batch.mended, ["state", "level", "message", "spoiled", "verified_at", "recorded_at"]
        )
        Verification.objects.bulk_create(batch.verifications)
        for one, reading in batch.pinned:
            for copy in Copy.objects.filter(set=one, destination=self.destination).select_related("set"):
                self.counts["pins"] += pins.note(copy, reading.records)
        for one, identifiers in batch.needs:
            one.needs.set(Set.objects.filter(system=one.system, identifier__in=identifiers))


def _plain_size(manifest: Manifest, reading: Reading) -> int:
    """As the taking counts it: of an increment what its source had, which only the details know."""
    sources = (reading.content or {}).get("sources", {})
    sizes = {name: int(one["facts"].get("size", 0)) for name, one in sources.items() if "since" in one}
    return sum(sizes.values()) + sum(part.plain_size for part in manifest.parts if part.source not in sizes)


def _is_newer(one: Set, reading: Reading) -> bool:
    """Another destination's records know more than those that this row was made of."""
    at = max((record.at for record, _private in reading.records if "set" in record.public), default=None)
    return at is not None and one.job_id is None and (one.recorded_at is None or at > one.recorded_at)


def _newest(one: Set, reading: Reading) -> None:
    """What the newest record says of the set."""
    for record, private in reading.records:
        if "set" in record.public:  # A pin tells nothing of how the set stood.
            _set(one, record.public["set"], recording.SET[0])
            _set(one, (private or {}).get("set"), recording.SET[1])
            one.recorded_at = record.at


def _set(row: models.Model, told: Any, columns: Sequence[str]) -> None:
    """The columns that were told, each as its field takes it. Raises ValidationError."""
    if not isinstance(told, Mapping):
        return
    for name in columns:
        if name not in told:
            continue
        value, column = told[name], row._meta.get_field(name)
        if isinstance(column, models.DateTimeField):
            value = parse_datetime(value) if isinstance(value, str) else None
        elif not isinstance(column, models.JSONField):
            value = column.to_python(value)  # type: ignore[union-attr]
        setattr(row, name, value)
