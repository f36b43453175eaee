"""`manage.py recover checklist`: what has to be looked at after a restore."""

import json
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from backups.checklist import conduct
from backups.checklist.points import how, title
from backups.checklist.readings import told
from backups.models import CheckPoint, Recovery
from backups.shell import cli
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here

ACTS = ("checklist",)
MARKS = {"open": "[ ]", "good": "[x]", "bad": "[!]", "none": "[-]"}


def arguments(acts: Any) -> None:
    text = _("what has to be looked at after a restore over production")
    act: ArgumentParser = acts.add_parser(ACTS[0], help=text, description=text)
    act.add_argument("number", type=int, help=_("number of the recovery, as list shows it"))
    act.add_argument("--measure", action="store_true", help=_("measure again, here, what can be measured"))
    act.add_argument("--tick", metavar="POINT", help=_("say what you found at this point"))
    act.add_argument(
        "--state", choices=CheckPoint.State.values, default="good", help=_("with --tick (default: good)")
    )
    act.add_argument("--note", default="", help=_("with --tick: what you saw"))
    act.add_argument("--json", action="store_true", help=_("print JSON"))


def run(command: Any, options: dict[str, Any]) -> int:
    """0: every point is good, or does not apply; 3: something is open, or bad. Raises OperationFailed, CommandError."""
    recovery = Recovery.objects.filter(pk=options["number"]).first()
    if recovery is None or not recovery.points.exists():
        raise cli.usage(
            _("There is no recovery %(number)d that has a checklist.") % {"number": options["number"]}
        )
    if options["tick"]:
        conduct.tick(recovery, options["tick"], options["state"], by=cli.actor(), note=options["note"])
    if options["measure"]:
        with kept_here():
            job = conduct.request(recovery, requested_by=cli.actor())
        run_here(job, command.stderr, cli.actor())
    points = list(recovery.points.all())
    if options["json"]:
        names = ("key", "state", "measured", "by")
        command.stdout.write(
            json.dumps([{name: getattr(one, name) for name in names} for one in points], indent=2)
        )
    else:
        _print(command, recovery, points)
    settled = {CheckPoint.State.GOOD, CheckPoint.State.NONE}
    return cli.FINE if all(one.state in settled for one in points) else cli.NEEDS_ATTENTION


def _print(command: Any, recovery: Recovery, points: list[CheckPoint]) -> None:
    since, until = recovery.copy.set.moment, recovery.started_at
    for one in points:
        command.stdout.write(f"{MARKS[one.state]} {one.key:<12} {title(one.key)}")
        command.stdout.write(f"{'':17}{told(one.measured) or how(one.key, since, until)}")
