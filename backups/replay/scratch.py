"""A source as of a point in time, in a scratch place: for looking, for rows, for drills."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyrage
from django.conf import settings
from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.leftovers import held_directory
from backups.logs import read
from backups.logs.chain import Position
from backups.models import Copy, LogStream, Set
from backups.models.level import RANK
from backups.pipe.decode import Damaged
from backups.recovery.scratch import opened, restored_scratch
from backups.replay import statements
from backups.replay.bases import Known
from backups.replay.plan import Plan
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext

# Of the plain bytes of a dump: what a database of them takes with its indexes, and the room that must stay.
GROWTH = 2.0
RESERVE = 256 << 20


@dataclass
class AsOf:
    """The `place`, and how it was made. `reached`: the last position that was replayed."""

    place: Engine
    reached: Position
    transactions: int
    left_out: int
    measured: dict[str, float]


Step = Callable[[str, str], AbstractContextManager[None]]


def _unwritten(_what: str, _target: str) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def as_of(  # noqa: PLR0913 - all are told apart by their types
    context: JobContext, known: Known, plan: Plan, copy: Copy, *, identities: Sequence[pyrage.x25519.Identity],
    step: Step = _unwritten,
) -> Iterator[AsOf]:  # fmt: skip
    """The source of `known` as `plan` says, on a private server that is gone when the context ends.

    `copy` is one of the plan's set; `step` writes down what is done, and how long it takes. The log is fetched and
    checked before anything is restored. Raises fetch.SegmentDamaged, Damaged, NoScratch, and other OperationFailed.
    """
    check_room(plan)
    _base, source = known.based_on(plan)
    with ExitStack() as stack:
        directory = stack.enter_context(held_directory(Path(settings.STATE_DIR) / "scratch", "proof-"))
        files: list[Path] = []
        if plan.segments and (plan.log_bytes or plan.by_commit_times) and known.stream is not None:
            with step(_("fetch the log"), f"{plan.base.position} – {plan.stop}"):
                files = _fetched(context, known.stream, plan, directory, identities)
        began = time.monotonic()
        with step(_("restore the set into a scratch server"), str(copy)):
            place = stack.enter_context(restored_scratch(context, opened(copy, identities), source.name))
        kind = "physical" if plan.base.physical else "base"
        made = AsOf(place, plan.base.position, 0, 0, {
            f"{kind}_bytes": float(plan.base.size), f"{kind}_seconds": time.monotonic() - began,
        })  # fmt: skip
        if files:
            with step(_("replay the log"), f"{plan.base.position} – {plan.stop}"):
                _replay(context, made, plan, files, known.source.build())
        elif plan.base.physical:
            made.place = place.inside(known.source.build())
        yield made


def _fetched(
    context: JobContext, stream: LogStream, plan: Plan, directory: Path, identities: Sequence[pyrage.x25519.Identity]
) -> list[Path]:  # fmt: skip
    context.phase(_("fetching the log"), str(stream), sum(one.end - one.begin for one in plan.segments))
    try:
        return read.fetch(stream, plan.segments, directory, identities, context.advance)
    except Damaged as error:
        # Of the log, not of the set: no copy of that is to blame.
        raise OperationFailed(error.message, error.hint, permanent=True) from error
    except OSError as error:
        raise OperationFailed(
            _("The log cannot be kept in %(place)s: %(error)s.")
            % {"place": directory, "error": error.strerror},
            _("Make room there, or set DRC_STATE to a larger disk."),
        ) from error


def _replay(context: JobContext, made: AsOf, plan: Plan, files: Sequence[Path], wanted: Engine) -> None:
    began = time.monotonic()
    if plan.by_commit_times:
        # The server's own times of the commits decide; the log only has to reach as far.
        stop = plan.through or plan.stop
        made.transactions = made.place.replay_files(files, stop, plan.target.moment)
        made.reached, made.place = stop, made.place.inside(wanted)
    else:
        if plan.base.physical:
            made.place = made.place.inside(wanted)
        whole = plan.base.physical
        done = statements.replay(context, made.place, files, plan.base.position, plan.stop, whole=whole)
        made.reached, made.transactions, made.left_out = done.reached, done.transactions, done.left_out
    made.measured |= {"log_bytes": float(plan.log_bytes), "log_seconds": time.monotonic() - began}


def check_room(plan: Plan) -> None:
    """Raises OperationFailed, before anything is fetched, when it will not fit on this machine's disk."""
    place = Path(settings.STATE_DIR)
    needed = int(plan.base.size * GROWTH) + sum(one.end - one.begin for one in plan.segments) + RESERVE
    if needed > (free := shutil.disk_usage(place).free):
        raise OperationFailed(
            _(
                "The scratch server and the log need about %(size)d MB in %(place)s, where %(free)d MB are free."
            )
            % {"size": needed >> 20, "place": place, "free": free >> 20},
            _("Make room there, or set DRC_STATE to a larger disk."),
        )


def best_copy(base: Set) -> Copy:
    """Raises OperationFailed when none is whole."""
    copies = base.copies.filter(state=Copy.State.COMPLETE).select_related("destination", "set__system")
    found = max(copies, key=lambda copy: (RANK[copy.level], -copy.pk), default=None)
    if found is None:
        raise OperationFailed(
            _("The set %(set)s has no complete copy any more.") % {"set": base}, permanent=True
        )
    return found
