"""Dumps the sources of a set into the store: one after the other, or some side by side, as the plan says.

Side by side each source has a thread, a connection to the store and a snapshot of its own. Those that begin together
take their moments together, before anything is read: databases first, so that they are among them. The first that fails stops the others: their children are killed, their next block raises, and what they had
stored goes with the attempt.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.destinations.base import Destination
from backups.engines.base import PartSpec
from backups.models import Source
from backups.pipe.stream import Encoding
from backups.takes import increments, preflight, repeating, sharing
from backups.takes.meeting import Meeting, Moment
from backups.takes.taking import Taking
from drcenter.errors import OperationFailed
from drcenter.process import Children


@dataclass(frozen=True)
class Hands:
    """What the dump of one source works with: a connection to the store, and how it tells, counts and is stopped."""

    destination: Destination
    children: Children
    advance: Callable[[int], None]
    phase: Callable[[str, str, int], None]
    # Where it waits for the others before its moment is taken.
    meeting: Meeting


def dump(taking: Taking, looked: Sequence[preflight.Looked]) -> None:
    """Store every source. Raises what made the first one fail; nothing of the others goes on then."""
    side_by_side = min(taking.plan.side_by_side, len(looked))
    if side_by_side > 1:
        _together(taking, looked, side_by_side)
        taking.parts.sort(key=lambda part: part.order)
        return
    context = taking.context
    hands = Hands(taking.destination, context.children, context.advance, context.phase, Meeting(1))
    for one in looked:
        _dump(taking, one, hands)


def _dump(taking: Taking, looked: preflight.Looked, hands: Hands) -> None:
    source, size = looked.source, looked.inspection.size
    opening = timezone.now()
    with taking.clock("dump"), increments.opened(taking, source, looked.engine) as snapshot:
        moment = Moment(hands.meeting, opening, timezone.now())
        if snapshot.later:
            snapshot.ready = moment.meet
        else:
            hands.meeting.wait()
        for spec in snapshot.parts():
            hands.phase(_("dumping"), f"{source.name}: {spec.name}", size)
            _store(taking, source, spec, hands, int(size * preflight.PACKED))
        taking.note_moment(looked, snapshot, moment)
        hands.phase(_("computing the witness"), source.name, 0)
        with taking.clock("witness"):
            witness = snapshot.witness()
        taking.found(source.name, snapshot.findings())
        taking.note_source(looked, snapshot, witness)
        if taking.plan.store_once:
            taking.witnesses[source.name] = sharing.digest(witness)


def _store(taking: Taking, source: Source, spec: PartSpec, hands: Hands, expected: int) -> None:
    order, key = taking.next_key(source, spec)
    encoding = Encoding(
        taking.encryption, taking.plan.compression, taking.bytes_per_second, hands.children, hands.advance
    )
    put = partial(hands.destination.put, taking.set.prefix + key, expected_size=expected)
    stored = repeating.stored(taking, source.name, spec, put, encoding)
    taking.log(f"{key}: {stored.plain_size:,} → {stored.stored_size:,} bytes, {stored.seconds:.1f} s")
    same = sharing.shared(taking, source, spec.name, stored)
    if same is not None and sharing.forget(taking, hands.destination, key):
        taking.add_reference(source, same.set, same, order)
        taking.log(
            _("%(key)s is the same as in %(set)s, and stored there only.") % {"key": key, "set": same.set}
        )
        return
    taking.add_part(source, spec, order, key, stored)


# ---------------------------------------------------------------------------- side by side


def _together(taking: Taking, looked: Sequence[preflight.Looked], side_by_side: int) -> None:
    # Those that are of one moment come first: they are among the ones that begin together.
    looked = sorted(looked, key=lambda one: not one.engine.one_moment)
    shared = _Shared(taking, side_by_side)
    names = ", ".join(one.source.name for one in looked)
    taking.context.phase(_("dumping"), names, sum(one.inspection.size for one in looked))
    taking.context.children.add(shared.children)
    try:
        with ThreadPoolExecutor(side_by_side, thread_name_prefix="dump") as threads:
            begun = [threads.submit(shared.dump, one) for one in looked]
            try:
                for ended in as_completed(begun):
                    ended.result()
            except BaseException:
                shared.stop()
                threads.shutdown(cancel_futures=True)
                raise
    finally:
        taking.context.children.discard(shared.children)


class _Shared:
    """What the sources that are read side by side have in common: their children, and the first failure."""

    def __init__(self, taking: Taking, side_by_side: int) -> None:
        self.children = Children()
        self._taking = taking
        self._counting, self._stopped = threading.Lock(), threading.Event()
        self._meeting = Meeting(side_by_side, self._check)

    def dump(self, looked: preflight.Looked) -> None:
        """The work of one thread. A destination is used by one thread at a time, so each has its own."""
        try:
            self._check()
            destination = self._taking.copy_row.destination.build()
            _dump(
                self._taking,
                looked,
                Hands(destination, self.children, self._advance, self._phase, self._meeting),
            )
        finally:
            connections.close_all()

    def stop(self) -> None:
        self._stopped.set()
        self.children.kill()

    def _advance(self, count: int) -> None:
        self._check()
        with self._counting:
            self._taking.context.advance(count)

    def _phase(self, what: str, item: str, expected: int) -> None:
        """The phase is that of all: only the log tells of each."""
        self._check()

    def _check(self) -> None:
        self._taking.context.check()
        if self._stopped.is_set():
            raise OperationFailed(_("It was stopped, since another source failed."))
