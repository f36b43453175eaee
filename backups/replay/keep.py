"""Makes a set of what a scratch server holds: from it, production is overwritten or a database beside is made, with all
that a restore does (approval, safety backup, comparison), and also when the scratch server is long gone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from backups.engines.base import Engine, Snapshot
from backups.models import Plan, Set, Source
from backups.recovery import aftermath
from backups.recovery.recovering import Recovering
from backups.storage import layout, publish, signing
from backups.takes import preflight, take
from backups.takes.meeting import Moment
from backups.takes.tables import Chosen
from backups.takes.taking import Taking
from backups.witness import Witness
from drcenter.errors import OperationFailed


@dataclass(frozen=True)
class Held(Chosen):
    """A source, read from another place than its own."""

    place: Engine | None = None

    def build(self) -> Engine:
        return self.place or super().build()


class TakingOf(Taking):
    """Takes a set of a moment that is over. Its data have no place in the log: nothing can be replayed onto it."""

    def __init__(self, recovering: Recovering, one: Set, moment: datetime) -> None:
        super().__init__(recovering.context, one)
        self._moment = moment

    def note_moment(self, looked: preflight.Looked, snapshot: Snapshot, moment: Moment) -> None:
        at = self._moment.isoformat()
        self.moments[looked.source.name] = {
            "from": at,
            "to": at,
            "snapshot": True,
            "taken": at,
            "position": {},
        }

    def note_source(self, looked: preflight.Looked, snapshot: Snapshot, witness: Witness) -> None:
        super().note_source(looked, snapshot, witness)
        own: dict[str, Any] = self.sources[looked.source.name]
        engine = looked.source.build()
        own |= {"target": engine.target, "host": engine.host}


def keep(recovering: Recovering, source: Source, place: Engine, moment: datetime) -> Set:
    """Take the set. Raises OperationFailed; nothing of it is left in storage then."""
    plan = recovering.set.plan or recovering.set.system.plans.first()
    if plan is None:
        raise OperationFailed(
            _("There is no plan any more that says where the set is to be kept."),
            _("Make a plan for the system."), permanent=True,
        )  # fmt: skip
    taking = TakingOf(recovering, _row(recovering, plan), moment)
    try:
        take.store_set(taking, [Held(source, (), place=place)])
    except BaseException as error:
        aftermath.fail(taking, error)
        raise
    return Set.objects.get(pk=taking.set.pk)


def _row(recovering: Recovering, plan: Plan) -> Set:
    now = timezone.now()
    return Set.objects.create(
        system=plan.system, plan=plan, reason=Set.Reason.MOMENT, state=Set.State.RUNNING, attempt=1, apart=True,
        identifier=layout.new_identifier(now, 1, signing.mark(publish.signing_key().fingerprint)),
        started_at=now, job=recovering.context.job, encrypted=plan.encrypt,
    )  # fmt: skip
