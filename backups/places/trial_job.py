"""Tests a destination, for a person who asked: as a job of the panel, or right here for the shell."""

from collections.abc import Callable
from dataclasses import asdict

from django.db import transaction
from django.utils.translation import gettext as _

from backups.destinations.base import Role
from backups.models import Destination, Trial
from backups.places import trial
from backups.places.trial import Step
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.stored import in_english

KIND = "backups.trial"


def request(destination: Destination, *, requested_by: str) -> Job:
    """Ask for a test; a worker of the quick queue does it."""
    with transaction.atomic(), in_english():
        title = _("Test %(destination)s") % {"destination": destination}
        return enqueue(
            KIND, destination.pk, target=f"trial:{destination.pk}", title=title, requested_by=requested_by
        )


def trial_job(context: JobContext, pk: int) -> None:
    """The work of a job of this kind. Raises OperationFailed with the step that failed."""
    destination = Destination.objects.get(pk=pk)

    def told(step: Step) -> None:
        context.log(described(step), "info" if step.ok else "error")
        context.phase(_("testing"), step.name)

    steps = run(destination, context.job.requested_by, told)
    if error := trial.failure(steps):
        raise error


@in_english()
def run(destination: Destination, requested_by: str, told: Callable[[Step], None]) -> list[Step]:
    """All steps, each told when it ended; the row remembers them."""
    store, pruner = (destination.build_impatient(role) for role in (Role.WRITE, Role.PRUNE))
    attempt = trial.Trial(store, pruner, locks=bool(destination.lock_days))
    steps = []
    for step in trial.within(attempt.steps(), trial.DEADLINE_SECONDS):
        steps.append(step)
        told(step)
    ok = all(step.ok for step in steps)
    with transaction.atomic():
        values = {"ok": ok, "steps": [asdict(step) for step in steps], "requested_by": requested_by}
        Trial.objects.update_or_create(values, destination=destination)
        result = Result.DONE if ok else Result.FAILED
        message = next((described(step) for step in steps if not step.ok), "")
        record(requested_by, "destination.check", destination, result=result, message=message)
    return steps


def described(step: Step) -> str:
    return f"{step.name}: {step.seconds:.2f} s. {step.message} {step.hint}".strip()
