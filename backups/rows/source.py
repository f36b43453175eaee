"""Where rows as of a date come from: a set that is restored into a scratch place, or one with its log replayed.

The mirror of an external service will be another `RowSource`: what compares asks for nothing but a session.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Protocol

import pyrage
from django.utils.translation import gettext as _

from backups.models import Copy, Set, Source
from backups.models.level import RANK
from backups.recovery.scratch import opened, restored_scratch
from backups.replay import bases, rewind
from backups.replay.bases import Known
from backups.replay.plan import Plan
from backups.replay.point import Point
from backups.replay.scratch import as_of, best_copy
from backups.rows.session import Session
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext


class RowSource(Protocol):
    """Rows of one source as of a moment."""

    def session(self, context: JobContext) -> AbstractContextManager[Session]:
        """A session on them. Raises OperationFailed when they cannot be had."""


class FromSet:
    """The rows of a set, restored into a scratch place."""

    def __init__(self, copy: Copy, source: str, identities: Sequence[pyrage.x25519.Identity]) -> None:
        self._copy, self._source, self._identities = copy, source, identities

    @contextmanager
    def session(self, context: JobContext) -> Iterator[Session]:
        context.phase(_("opening"), str(self._copy))
        copy = opened(self._copy, self._identities)
        with restored_scratch(context, copy, self._source) as place, place.rows() as session:
            yield session


class FromReplay:
    """The rows as of any second that the archived log reaches: a base, and the log after it."""

    def __init__(
        self, source: Source, moment: datetime, identities: Sequence[pyrage.x25519.Identity]
    ) -> None:
        self._source, self._moment, self._identities = source, moment, identities

    @contextmanager
    def session(self, context: JobContext) -> Iterator[Session]:
        known, plan, copy = way_to(self._source, self._moment)
        with as_of(context, known, plan, copy, identities=self._identities) as there:
            if not there.place.has_rows:
                raise OperationFailed(
                    _("A replay from the set %(set)s gives no session for rows.") % {"set": copy.set},
                    _("Name a set of the database itself with --set."), permanent=True,
                )  # fmt: skip
            with there.place.rows() as session:
                yield session


def way_to(source: Source, moment: datetime) -> tuple[Known, Plan, Copy]:
    """How to get to a moment to the second. Raises OperationFailed that says why not, and what can be had instead."""
    known = bases.of(source)
    plan = rewind.plan_for(known, Point(source.pk, moment=moment.isoformat()))
    return known, plan, best_copy(known.based_on(plan)[0])


def copy_at(source: Source, moment: datetime | None) -> Copy:
    """The best copy of the newest set of `source` that is of `moment` or before; of any time for None.

    Sets that were saved before a restore, and those of some tables alone, are not meant. Raises OperationFailed
    that names the oldest one when `moment` is before it.
    """
    sets = (
        Set.objects.complete()
        .filter(
            system=source.system,
            parts__source_name=source.name,
            copies__state=Copy.State.COMPLETE,
            partial="",
        )
        .exclude(reason__in=Set.ASIDE)
        .order_by("foreign", "-moment", "-pk")
        .distinct()
    )
    found = sets.filter(moment__lte=moment).first() if moment is not None else sets.first()
    if found is None:
        oldest = sets.order_by("moment").first()
        if oldest is None or oldest.moment is None:
            raise OperationFailed(
                _("There is no complete set of %(source)s.") % {"source": source},
                _("Take one: manage.py backup run %(system)s --wait") % {"system": source.system.slug},
                permanent=True,
            )
        raise OperationFailed(
            _("There is no set from before that moment: the oldest one is %(set)s, of %(moment)s UTC.")
            % {"set": oldest, "moment": f"{oldest.moment:%Y-%m-%d %H:%M:%S}"},
            permanent=True,
        )
    copies = found.copies.filter(state=Copy.State.COMPLETE).select_related("destination")
    return max(copies, key=lambda copy: (RANK[copy.level], -copy.pk))
