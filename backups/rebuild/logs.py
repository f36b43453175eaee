"""Finds the archived logs of a destination: streams, incarnations and segments, from their records alone.

What has no trusted record, or other bytes than the record says, is left out. A stream that is made here is switched
off: the machine that was lost may not be lost, and two archivers would not know of each other.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyrage
from django.db import transaction
from django.utils.translation import gettext as _

from backups.destinations.base import Destination as DestinationPlugin
from backups.logs import records
from backups.logs.courier import read_small
from backups.logs.records import Record
from backups.models import Destination, LogIncarnation, LogPlace, LogSegment, LogStream, Plan, Source
from backups.rebuild.rows import Rows
from backups.storage.trust import Trust
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

READERS = 8
BATCH = 500


@dataclass
class Logs:
    """One look at the archived logs of a destination; what is found is counted, and faults are told, in `rows`."""

    place: DestinationPlugin
    destination: Destination
    trust: Trust
    identities: Sequence[pyrage.x25519.Identity]
    rows: Rows

    def find(self) -> None:
        """Of every system that the catalogue has by now."""
        with ThreadPoolExecutor(READERS, "rebuild") as pool:
            for system in System.objects.order_by("slug"):
                listed = {one.key: one.size for one in self.place.list(records.prefix(system.slug))}
                keys = iter([key for key in listed if records.is_record(key)])
                while batch := list(islice(keys, BATCH)):
                    found = [one for one in pool.map(self._read, batch) if one is not None]
                    self._take(system, [one for one in found if self._is_there(one, listed)])

    def _read(self, key: str) -> Record | None:
        try:
            return Record.from_bytes(read_small(self.place, key), self.trust.signed, key=key)
        except OperationFailed as error:
            self.rows.problems.append(f"{key}: {error.message}")
            return None

    def _is_there(self, one: Record, listed: dict[str, int]) -> bool:
        if listed.get(one.segment.key) == one.segment.stored_size:
            return True
        self.rows.problems.append(
            _("%(segment)s is missing, or was exchanged.") % {"segment": one.segment.key}
        )
        return False

    # ------------------------------------------------------------------ rows

    def _take(self, system: System, found: Iterable[Record]) -> None:
        """One batch, in one transaction."""
        by_source: dict[str, list[Record]] = defaultdict(list)
        for one in found:
            by_source[one.source].append(one)
        with transaction.atomic():
            for name, group in by_source.items():
                stream = self._stream(system, name, group[0])
                if stream is not None:
                    self._add(stream, group)

    def _stream(self, system: System, name: str, one: Record) -> LogStream | None:
        """None in a dry run, and where no plan is known."""
        plan = Plan.objects.filter(system=system).order_by("pk").first()
        if plan is None:
            self.rows.problems.append(_("%(system)s has an archived log, and no set.") % {"system": system})
            return None
        if self.rows.dry_run:
            return None
        known = Source.objects.filter(system=system, name=name).first()
        source = known or Source.objects.create(
            system=system, name=name, engine=one.engine, tier="database", enabled=False
        )
        taking = next(iter(source.taken_by()), plan)
        fresh = {"plan": taking, "enabled": False, "state": LogStream.State.OFF}
        return LogStream.objects.get_or_create(fresh, source=source)[0]

    def _add(self, stream: LogStream, found: Sequence[Record]) -> None:
        keys = [one.segment.key for one in found]
        known = set(stream.segments.filter(key__in=keys).values_list("key", flat=True))
        fresh = [self._row(stream, one) for one in found if one.segment.key not in known]
        LogSegment.objects.bulk_create(fresh)
        self.rows.counts["log segments added"] += len(fresh)
        self._note_place(stream, found)

    def _row(self, stream: LogStream, found: Record) -> LogSegment:
        one = found.segment
        incarnation, _new = LogIncarnation.objects.get_or_create(
            {"reason": found.reason, "began_at": found.at}, stream=stream, name=one.incarnation
        )
        return LogSegment(
            stream=stream, incarnation=incarnation, number=one.number, last=one.last, log=one.log, begin=one.begin,
            end=one.end, final=one.final, marks=records.written_marks(one.marks), bounds=dict(one.bounds),
            previous=one.previous, stands_for=one.stands_for, key=one.key, digest=one.digest,
            stored_size=one.stored_size, plain_blake3=self._opened(found).get("plain_blake3", ""),
            recipients=list(found.recipients), created_at=found.at,
        )  # fmt: skip

    def _opened(self, found: Record) -> dict[str, Any]:
        if not isinstance(found.private, str):
            return dict(found.private)
        try:
            opened = json.loads(pyrage.decrypt(found.private.encode(), list(self.identities)))
        except (pyrage.DecryptError, ValueError):
            return {}
        return opened if isinstance(opened, dict) else {}

    def _note_place(self, stream: LogStream, found: Sequence[Record]) -> None:
        """How far the destination is: its newest segment is there, so those before it are, too."""
        first = min(one.segment.number for one in found)
        newest = max(found, key=lambda one: one.segment.last)
        place, _new = LogPlace.objects.get_or_create(
            {"since": first}, stream=stream, destination=self.destination
        )
        place.since = min(place.since, first)
        if newest.segment.last > place.through:
            place.through = newest.segment.last
            marked = [one for one in found if one.segment.marks]
            if marked:
                last = max(marked, key=lambda one: one.segment.last)
                place.stored_until = last.segment.marks[-1].at
        place.save()
        until = max(filter(None, (stream.stored_until, place.stored_until)), default=None)
        LogStream.objects.filter(pk=stream.pk).update(stored_until=until)
