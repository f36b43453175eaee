"""Protects the sample systems by the code behind `manage.py protect`, and lets workers back them up."""

import time
from collections.abc import Callable, Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from backups import protect
from backups.look import look_at
from backups.models import Level, Set, Source
from backups.takes import take
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.management.demo.databases import Sample
from drcenter.management.demo.ground import ACTOR
from drcenter.systems.models import System

PATIENCE = 150.0
OVER = (Set.State.COMPLETE, Set.State.FAILED, Set.State.CANCELLED, Set.State.LOST)


def protect_place(place: str, name: str) -> System:
    """Protect a directory or URL, once. Raises OperationFailed when something in it cannot be reached."""
    proposal = look_at(place)
    for source in proposal.out_of_reach:
        if source.problem is not None:
            raise source.problem
    known = protect.known_system(proposal)
    if known is not None and not protect.new_sources(proposal):
        return known
    proposal.name = name
    return protect.create(proposal, ACTOR).system


def protect_database(sample: Sample) -> System:
    """Protect a sample database; when it is protected already, follow its server to the port of today."""
    system = System.objects.filter(slug=sample.slug).first()
    if system is None:
        system = protect_place(sample.url, sample.slug)
        system.name = sample.name
        system.save(update_fields=["name"])
        return system
    with transaction.atomic():
        for source in Source.objects.filter(system=system, name="database"):
            source.options = {**source.options, "host": sample.host, "port": sample.port}
            source.save(update_fields=["options"])
            record(ACTOR, "demo.moved", source, port=sample.port)
    return system


def request_sets(systems: Sequence[System]) -> list[Set]:
    """Ask for a set of each system; workers take them."""
    return [take.request(system.plans.get(), requested_by=ACTOR) for system in systems]


def wait_for(wanted: Set, alive: Callable[[], None]) -> Set:
    """The set when its job has ended and it is proven. Raises OperationFailed with what the row says.

    `alive` raises when the workers are gone: nobody would ever take it then.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        alive()
        now = Set.objects.select_related("job").get(pk=wanted.pk)
        if now.state in OVER and now.job is not None and not now.job.is_open:
            return _proven(now)
        time.sleep(0.2)
    raise OperationFailed(_("{set} was not done within {n:.0f} s.").format(set=wanted, n=PATIENCE))


def _proven(done: Set) -> Set:
    if done.state != Set.State.COMPLETE:
        raise OperationFailed(f"{done}: {done.message}", done.hint)
    if done.level == Level.PROVEN:
        return done
    raise OperationFailed(
        _("{set} is only {level}: {reason}").format(
            set=done, level=done.get_level_display(), reason=done.level_reason or done.message
        )
    )
