"""Where rows as of a date come from: a set that is restored into a scratch place.

A replayed set ("any second"), or the mirror of an external service, is another `RowSource`: what compares asks
for nothing but a session that reads.
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
