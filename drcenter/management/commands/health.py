"""Diagnosis, and what can be put right without a risk."""

import json
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.checks import ERROR, Tags, run_checks
from django.core.management.base import BaseCommand
from django.db import DatabaseError
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.places import reach
from drcenter import health, process
from drcenter.errors import OperationFailed
from drcenter.jobs.context import BEAT_SECONDS
from drcenter.jobs.dispatch import send_waiting_again
from drcenter.jobs.models import STALE_AFTER, Job, State
from drcenter.jobs.reap import lose
from drcenter.notify.models import Delivery

FINE, FAILED, NEEDS_ATTENTION = 0, 1, 3
# Every tool that some engine or proof uses, and how it tells its version.
TOOLS = {
    "mariadb": "--version", "mariadb-dump": "--version", "mariadbd": "--version",
    "pg_dump": "--version", "psql": "--version", "postgres": "--version",
    "tar": "--version", "zstd": "--version", "age": "--version", "git": "--version", "php": "--version",
    "openssl": "version", "setpriv": "--version",
}  # fmt: skip
EPILOG = """
  manage.py health                the checks of /readyz, with reasons
  manage.py health --detailed     versions, tools, waiting and lost jobs, messages that were given up
  manage.py health --fix          end jobs whose worker is dead, send waiting ones again; says what it does
  manage.py health --json         the same for machines

Exit codes: 0 fine, 1 the installation cannot do its work, 2 usage, 3 something needs attention.
"""


class Command(BaseCommand):
    help = "Say whether this installation can do its work."
    # It has to speak when much is broken.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--detailed", action="store_true", help="versions, tools, jobs, messages")
        parser.add_argument("--fix", action="store_true", help="put right what carries no risk")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        database = health.checks()[0].ok
        fixed = fix() if options["fix"] and database else []
        known = health.checks()
        if database:
            known += [*_warnings(), *_destinations()]
        found: dict[str, Any] = health.as_json(known) | {"fixed": fixed}
        if options["detailed"]:
            found |= details(database)
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, default=str))
        else:
            self._print(found)
        sys.exit(FAILED if not found["ok"] else NEEDS_ATTENTION if found["attention"] else FINE)

    def _print(self, found: dict[str, Any]) -> None:
        for line in found["fixed"]:
            self.stdout.write(line)
        for check in found["checks"]:
            mark = "FAIL" if not check["ok"] else "ATTN" if check["attention"] else "OK"
            self.stdout.write(f"{mark:5}{check['name']}: {check['message']}")
        for title in ("versions", "tools", "work"):
            for name, value in found.get(title, {}).items():
                self.stdout.write(f"     {title}: {name}: {value}")


def _warnings() -> list[health.Check]:
    """What the apps' own checks say of what is set up: plans that cannot run, keys that nobody holds."""
    found = run_checks(tags=[Tags.database], databases=["default"])
    return [
        health.Check(str(one.id), one.level < ERROR, f"{one.msg} {one.hint or ''}".strip(), attention=True)
        for one in found
    ]


def _destinations() -> list[health.Check]:
    """Those that cannot be used: sets can be neither stored there nor restored from there."""
    try:
        return [
            health.Check(f"destination {name}", True, f"{error.message} {error.hint}".strip(), attention=True)
            for name, error in reach.unusable().items()
        ]
    except DatabaseError:
        return []  # Its tables are missing; the check of the migrations says so.


def fix() -> list[str]:
    """End jobs whose hearts have stopped, then send waiting ones again; one line for each thing done."""
    lines = [_("Lost: %(job)s (job %(pk)d)") % {"job": job, "pk": job.pk} for job in _dead() if lose(job)]
    before = _sent()
    send_waiting_again()
    again = [pk for pk, sent in _sent().items() if sent != before.get(pk)]
    lines += [_("Sent again: job %(pk)d") % {"pk": pk} for pk in again]
    return lines or [_("There was nothing to put right.")]


def _dead() -> list[Job]:
    """Jobs that look dead by the clock, and whose hearts did not beat while we watched."""
    oldest = timezone.now() - STALE_AFTER
    silent = list(Job.objects.filter(state=State.RUNNING, heartbeat_at__lt=oldest))
    if silent:
        time.sleep(4 * BEAT_SECONDS)
    beats = dict(Job.objects.filter(state=State.RUNNING).values_list("pk", "heartbeat_at"))
    return [job for job in silent if beats.get(job.pk) == job.heartbeat_at]


def _sent() -> dict[int, Any]:
    return dict(Job.objects.filter(state=State.QUEUED).values_list("pk", "sent_at"))


def details(database: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "versions": health.process_facts(),
        "tools": {tool: _version(tool) for tool in TOOLS},
    }
    if database:
        try:
            found["work"] = _work()
        except DatabaseError as error:
            found["work"] = {"error": str(error)}
    return found


def _version(tool: str) -> str:
    try:
        output = process.run(process.Command((tool, TOOLS[tool])), timeout=10, check=False)
    except OperationFailed as error:
        return str(error)
    lines = (output.stdout.decode(errors="replace") or output.stderr).strip().splitlines()
    return lines[0] if lines else _("it does not tell its version")


def _work() -> dict[str, int]:
    return {
        "waiting jobs": Job.objects.filter(state=State.QUEUED).count(),
        "running jobs": Job.objects.filter(state=State.RUNNING).count(),
        "jobs lost in the last 7 days": _lately(State.LOST),
        "jobs failed in the last 7 days": _lately(State.FAILED),
        "messages waiting": Delivery.objects.filter(state=Delivery.State.WAITING).count(),
        "messages given up": Delivery.objects.filter(state=Delivery.State.FAILED).count(),
    }


def _lately(state: State) -> int:
    return Job.objects.filter(state=state, finished_at__gt=timezone.now() - timedelta(days=7)).count()
