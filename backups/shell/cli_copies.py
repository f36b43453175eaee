"""`manage.py backup copy`: a set, or the newest good ones of a system, to another destination; `mend`: what is damaged
beside the data of a copy."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from backups.models import Copy, Destination
from backups.places import copies, mending
from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.jobs.models import Job, State
from drcenter.stored import shown
from drcenter.systems.models import System


def add_arguments(act: Callable[[str, str], ArgumentParser]) -> None:
    parser = act("copy", _("copy a set to another destination"))
    parser.add_argument("set", help=_("SYSTEM/SET, or SYSTEM for its newest set"))
    parser.add_argument("destination")
    parser.add_argument(
        "--newest", type=int, metavar="N", help=_("the newest N good sets of every plan of the system")
    )
    parser.add_argument("--queue", action="store_true", help=_("leave it to the workers, and do not wait"))
    mending_again = act("mend", _("write again what is damaged beside the data of a copy"))
    mending_again.add_argument("set", help=_("SYSTEM/SET, or SYSTEM for its newest set"))
    mending_again.add_argument("--destination", help=_("which copy (default: all of them)"))


def mend(options: dict[str, Any]) -> int:
    """Every copy of the set of which something beside the data is known to be damaged, or the one that is named."""
    one = cli.set_named(options["set"])
    named = cli.copy_of(one, options["destination"]) if options["destination"] else None
    found = [named] if named else list(one.copies.filter(state=Copy.State.COMPLETE).exclude(spoiled=[]))
    if not found:
        raise OperationFailed(
            _("Nothing beside the data of this set is known to be damaged."),
            _("Verify it first: that looks at it again."), permanent=True,
        )  # fmt: skip
    code = cli.FINE
    for copy in found:
        with kept_here():
            job = mending.request(copy, requested_by=cli.actor())
        job = run_here(job, sys.stdout, cli.actor())
        if job.state != State.SUCCEEDED:
            sys.stderr.write(f"{copy}: {shown(job.message)} {shown(job.hint)}".strip() + "\n")
            code = cli.FAILED
    return code


def run(options: dict[str, Any]) -> int:
    """Raises OperationFailed, CommandError."""
    place = _destination(options["destination"])
    if options["queue"]:
        _request(options, place)
        return cli.FINE
    with kept_here():
        wanted = _request(options, place)
    job = Job.objects.filter(kind=copies.KIND, subject=place.pk, state=State.QUEUED).first()
    if job is None:
        sys.stdout.write(_("It is there already.") + "\n")
        return cli.FINE
    job = run_here(job, sys.stdout, cli.actor())
    if job.state != State.SUCCEEDED:
        sys.stderr.write(f"{job.get_state_display()}: {shown(job.message)} {shown(job.hint)}".strip() + "\n")
    left = Copy.objects.filter(pk__in=[copy.pk for copy in wanted]).exclude(state=Copy.State.COMPLETE)
    for copy in left.select_related("set__system", "destination"):
        sys.stderr.write(f"{copy}: {copy.get_state_display()}. {shown(copy.message)}".strip() + "\n")
    return cli.FAILED if left else cli.FINE


def _request(options: dict[str, Any], place: Destination) -> list[Copy]:
    if options["newest"] is None:
        return [copies.request(cli.set_named(options["set"]), place, requested_by=cli.actor())]
    if options["newest"] < 1:
        raise cli.usage(_("--newest is a number from 1."))
    system: System = cli.system_named(options["set"])
    return [
        copy
        for plan in system.plans.order_by("name")
        for copy in copies.request_newest(plan, place, options["newest"], requested_by=cli.actor())
    ]


def _destination(name: str) -> Destination:
    found = Destination.objects.filter(name=name).first()
    if found is None:
        known = cli.listed(Destination.objects.order_by("name").values_list("name", flat=True), _("none"))
        raise cli.usage(
            _("There is no destination %(name)s. There are: %(known)s.") % {"name": name, "known": known}
        )
    return found
