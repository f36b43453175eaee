"""Brings a restored source on to the newest moment that its stored log reaches: a drill is about today, not last night."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyrage
from django.conf import settings

from backups.engines.base import Engine
from backups.leftovers import held_directory
from backups.logs import read
from backups.models import LogStream, Set, Source
from backups.replay import bases, statements
from backups.replay.plan import Plan, Target, Unreachable
from drcenter.jobs.context import JobContext


@dataclass(frozen=True)
class OnTo:
    """The way from a set to the newest moment: everything committed before `moment` is there at its end."""

    stream: LogStream
    plan: Plan
    moment: datetime


def way(one: Set, source: Source, place: Engine) -> OnTo | None:
    """None where no log of the source is stored, or none that leads on from this set."""
    if place.statement_log() is None or not bases.replayable(source):
        return None
    known = bases.of(source)
    name = f"{one.identifier}/{source.name}"
    mine = replace(known, bases=[base for base in known.bases if base.name == name])
    newest = bases.newest_reachable(mine)
    if known.stream is None or newest is None:
        return None
    with suppress(Unreachable):
        plan = mine.plan(Target(moment=newest))
        return OnTo(known.stream, plan, plan.surely or plan.base.taken)
    return None


def bring_on(
    context: JobContext, place: Engine, on_to: OnTo, identities: Sequence[pyrage.x25519.Identity]
) -> int:
    """Replay the log; the number of transactions. Raises OperationFailed; the place is of no use then."""
    plan = on_to.plan
    if not plan.log_bytes:
        return 0
    with held_directory(Path(settings.STATE_DIR) / "scratch", "proof-") as directory:
        files = read.fetch(on_to.stream, plan.segments, directory, identities, context.advance)
        return statements.replay(context, place, files, plan.base.position, plan.stop).transactions
