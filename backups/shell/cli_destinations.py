"""Destinations from the shell."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils.translation import gettext as _

from backups.models import Destination
from backups.places import trial_job
from backups.places.trial import Step
from backups.shell import cli


def add_arguments(act: Callable[[str, str], ArgumentParser]) -> None:
    testing = act(
        "test-destination", _("do there what production does, in small: put, read back, lock, delete")
    )
    testing.add_argument("destination")
    testing.add_argument("--json", action="store_true", help=_("print JSON"))


def try_out(out: OutputWrapper, options: dict[str, Any]) -> int:
    """Print every step."""
    found = Destination.objects.filter(name=options["destination"]).first()
    if found is None:
        known = cli.listed(Destination.objects.values_list("name", flat=True), _("none"))
        raise cli.usage(
            _("There is no destination %(name)s. There are: %(known)s")
            % {"name": options["destination"], "known": known}
        )

    def told(step: Step) -> None:
        if not options["json"]:
            out.write(f"{'ok    ' if step.ok else 'FAILED'} {trial_job.described(step)}")

    steps = trial_job.run(found, cli.actor(), told)
    if options["json"]:
        out.write(json.dumps([vars(step) for step in steps], indent=2))
    return cli.FINE if all(step.ok for step in steps) else cli.FAILED


ACTS = {"test-destination": try_out}
