"""Backups from the shell."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import exposure_words, verify
from backups.models import Copy, Destination, Level, Set, Verification
from backups.rebuild import shell as rebuild_shell
from backups.shell import cli, cli_copies, cli_destinations, cli_retention
from backups.shell.waiting import shortfall, wait_for
from backups.status import damage, damaged, report
from backups.storage import companions, trace
from backups.takes import estimate, take
from drcenter import sizes
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.jobs.models import OPEN, Job
from drcenter.jobs.reap import cancel
from drcenter.stored import shown
from drcenter.systems.models import System

EPILOG = """
  manage.py backup run shop                      ask the workers for a set of its only plan
  manage.py backup run shop --wait               and wait; exit code 1 when it fails, 3 when it is not as good as planned
  manage.py backup run shop --here               take it in this process, without any worker
  manage.py backup run shop --reason deployment --wait || exit 1
  manage.py backup run shop --tables orders,payments   only these, whatever else the plan takes
  manage.py backup cancel shop                   stop what runs; nothing half is left
  manage.py backup run shop --profile ultimate   every tier: by the plan with that name or profile
  manage.py backup estimate shop --profile ultimate   what a set would contain, how large it would be, and what is missing
  manage.py backup list [SYSTEM] [--json]
  manage.py backup status [--json]               exit code 3 when something is overdue or not good enough
  manage.py backup verify shop --level proven    the newest set of shop
  manage.py backup verify --all --level intact
  manage.py backup mend SYSTEM/SET [--destination NAME]   write restore.sh and RESTORE.md again where they are damaged
  manage.py backup succession [SYSTEM] [--destination NAME]   exit code 3 when something was put back or made anew
  manage.py backup prune --dry-run [SYSTEM]      what retention would remove, and why every other set stays
  manage.py backup prune [SYSTEM]                exit code 3 when it has stopped itself
  manage.py backup copy shop offsite             its newest set; --newest 3: the newest good ones of every plan
  manage.py backup test-destination vault        put, read back, list, lock, be refused to delete, clean up
  manage.py backup sweep [DESTINATION] [--yes]   what broken-off runs left there
  manage.py backup pin shop/20260102T030405Z-1a2b3c4d-a1 --reason "the audit of 2026"
  manage.py backup rebuild-catalog /mnt/sets --identity id.txt --signing-key kit.txt

Exit codes: 0 fine, 1 failed, 2 usage, 3 needs attention.
"""


class Command(BaseCommand):
    help = "Take, list and verify backup sets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")

        def act(name: str, text: str) -> ArgumentParser:
            found: ArgumentParser = acts.add_parser(
                name, help=text, description=text, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter
            )
            return found

        self._run_arguments(act("run", _("take a set")))
        act("cancel", _("stop what runs or waits")).add_argument("system")
        looking = act("estimate", _("what a set will contain, and how large it will be"))
        looking.add_argument("system")
        looking.add_argument("--profile", help=_("a plan or a profile (default: the only plan)"))
        looking.add_argument("--json", action="store_true", help=_("print JSON"))
        listing = act("list", _("the sets, newest first"))
        listing.add_argument("system", nargs="?", help=_("only the sets of this system"))
        listing.add_argument("--limit", type=_count, default=20, help=_("how many (default: 20)"))
        listing.add_argument("--json", action="store_true", help=_("print JSON"))
        act("status", _("how every plan stands")).add_argument(
            "--json", action="store_true", help=_("print JSON")
        )
        self._verify_arguments(act("verify", _("check sets again")))
        succession = act("succession", _("was something put back, taken out or made anew in the stores?"))
        succession.add_argument("system", nargs="?", help=_("only the sets of this system"))
        succession.add_argument("--destination", help=_("only at this destination"))
        cli_retention.add_arguments(act)
        cli_copies.add_arguments(act)
        cli_destinations.add_arguments(act)
        rebuild_shell.arguments(act("rebuild-catalog", _("find every set from the storage alone")))

    def _run_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("system")
        parser.add_argument("--profile", help="which plan or profile, where there are several")
        parser.add_argument(
            "--reason", choices=[Set.Reason.MANUAL, Set.Reason.DEPLOYMENT], default=Set.Reason.MANUAL
        )
        parser.add_argument("--tables", action="append", type=_names, metavar="T[,T...]",
                            help=_("only these tables, in place of what the plan takes"))  # fmt: skip
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--wait", action="store_true", help="wait for the worker, and show progress")
        where.add_argument("--here", action="store_true", help="take it in this process, without a worker")

    def _verify_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("set", nargs="?", help="SYSTEM/SET, or SYSTEM for its newest set")
        parser.add_argument("--level", choices=Level.values, default=Level.PROVEN)
        parser.add_argument("--all", action="store_true", help="the newest set of every system")
        parser.add_argument("--destination", help="which copy")
        parser.add_argument("--identity-file", help="an age identity; asked for where there is a terminal")
        parser.add_argument("--queue", action="store_true", help="leave it to the workers, and do not wait")

    def handle(self, *args: Any, **options: Any) -> None:
        acts = {
            "run": self._run,
            "cancel": self._cancel,
            "estimate": self._estimate,
            "list": self._list,
            "status": self._status,
            "succession": self._succession,
            "verify": self._verify,
            "rebuild-catalog": rebuild_shell.run,
            "copy": cli_copies.run,
            "mend": cli_copies.mend,
        }
        more = cli_retention.ACTS | cli_destinations.ACTS
        acts |= {name: partial(act, self.stdout) for name, act in more.items()}
        try:
            code = acts[options["act"]](options)
        except OperationFailed as error:
            raise cli.failed(error) from None
        if code:
            sys.exit(code)

    def _run(self, options: dict[str, Any]) -> int:
        plan = cli.plan_of(cli.system_named(options["system"]), options["profile"])
        tables = (
            None if options["tables"] is None else [name for names in options["tables"] for name in names]
        )
        asked = {"reason": options["reason"], "requested_by": cli.actor(), "tables": tables}
        if options["here"]:
            with kept_here():
                wanted = take.request(plan, **asked)
            job = run_here(_job(wanted), sys.stdout, cli.actor())
        else:
            wanted = take.request(plan, **asked)
            self.stdout.write(_("Asked for: %(plan)s") % {"plan": plan})
            if not options["wait"]:
                return cli.FINE
            job = self._wait(wanted)
        return self._conclude(job, Set.objects.get(pk=wanted.pk))

    def _estimate(self, options: dict[str, Any]) -> int:
        system, name = cli.system_named(options["system"]), options["profile"]
        if name is None or system.plans.filter(name=name).exists():
            found = estimate.of_plan(cli.plan_of(system, name))
        else:
            found = estimate.of_profile(system, cli.profile_named(name, system))
        if options["json"]:
            self.stdout.write(json.dumps(found.as_json(), indent=2))
        else:
            for line in estimate.told(found):
                self.stdout.write(line)
        return cli.FINE if found.complete else cli.NEEDS_ATTENTION

    def _wait(self, wanted: Set) -> Job:
        try:
            return wait_for(wanted, sys.stdout)
        except KeyboardInterrupt:
            slug = wanted.system.slug
            text = _(
                "It goes on without you. How it ends: manage.py backup list %(system)s. To stop it: manage.py backup"
                " cancel %(system)s."
            )
            raise CommandError(text % {"system": slug}, returncode=cli.NEEDS_ATTENTION) from None

    def _cancel(self, options: dict[str, Any]) -> int:
        """What runs stops in order, and leaves nothing half."""
        system = cli.system_named(options["system"])
        under_way = system.sets.filter(job__state__in=OPEN).select_related("job")
        for one in under_way.exclude(reason__in=Set.ASIDE):
            cancel(_job(one), cli.actor())
            self.stdout.write(_("Told to stop: %(set)s") % {"set": one})
        if not under_way:
            self.stdout.write(_("No backup of %(system)s runs or waits.") % {"system": system.slug})
        return cli.FINE

    def _conclude(self, job: Job, taken: Set) -> int:
        if taken.state != Set.State.COMPLETE:
            self.stderr.write(
                self.style.ERROR(f"{job.get_state_display()}: {shown(job.message)} {shown(job.hint)}".strip())
            )
            return cli.FAILED
        missing = shortfall(taken, job)
        self.stdout.write(f"{taken}: {taken.get_level_display()} {shown(missing)}".strip())
        if taken.partial:
            self.stdout.write(f"  {taken.partial_shown}")
        return cli.NEEDS_ATTENTION if missing else cli.FINE

    def _list(self, options: dict[str, Any]) -> int:
        sets = Set.objects.select_related("system", "plan").exclude(state=Set.State.REMOVED).order_by("-id")
        if options["system"]:
            sets = sets.filter(system=cli.system_named(options["system"]))
        found = list(sets.prefetch_related("copies")[: options["limit"]])
        rows = [_row(one) for one in found]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
        elif not rows:
            self.stdout.write(_("No set yet. Take one: manage.py backup run SYSTEM --wait"))
        else:
            for words in _table(found):
                self.stdout.write(words)
        return cli.FINE

    def _status(self, options: dict[str, Any]) -> int:
        found = report(timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2, default=str))
        else:
            self._print_status(found)
        return cli.FINE if found["ok"] else cli.NEEDS_ATTENTION

    def _print_status(self, found: dict[str, Any]) -> None:
        if not found["systems"]:
            self.stdout.write(_("Nothing is protected yet: manage.py protect PATH_OR_URL"))
        for system in found["systems"]:
            if not system["plans"]:
                self.stdout.write(f"ATTN {system['system']}: {system['reason']}")
            for plan in system["plans"]:
                mark = {True: "OK  ", False: "ATTN", None: "OFF "}[plan["ok"]]
                self.stdout.write(f"{mark} {system['system']}: {plan['plan']}: {_standing(plan)}")
                if plan["needs_proof"]:
                    self.stdout.write(f"     {plan['needs_proof_reason']}")
            for one in system["exposure"]:
                if one["ok"] is not None:
                    self.stdout.write(exposure_words.line(one, system["system"]))
        for one in found["unreviewed"]:
            text = _("Not reviewed yet: the break-glass of recovery %(number)d, by %(name)s.")
            self.stdout.write(f"ATTN {text % {'number': one['recovery'], 'name': one['by']}}")

    def _verify(self, options: dict[str, Any]) -> int:
        if bool(options["set"]) == options["all"]:
            raise cli.usage(_("Name a set or a system, or give --all."))
        if not options["all"]:
            return self._verify_one(cli.set_named(options["set"]), options)
        systems = list(System.objects.order_by("slug"))
        codes = [self._verify_newest(system, options) for system in systems]
        if not codes:
            self.stdout.write(_("Nothing is protected yet: manage.py protect PATH_OR_URL"))
        return max(codes, key=(cli.FINE, cli.NEEDS_ATTENTION, cli.FAILED).index, default=cli.FINE)

    def _verify_newest(self, system: System, options: dict[str, Any]) -> int:
        """One that cannot be verified keeps no other from it."""
        one = cli.newest_of(system)
        if one is None:
            self.stdout.write(f"{system.slug}: " + _("There is no complete set yet."))
            return cli.NEEDS_ATTENTION
        try:
            return self._verify_one(one, options)
        except (OperationFailed, CommandError) as error:
            self.stderr.write(self.style.ERROR(f"{one}: {error}"))
            return cli.FAILED

    def _succession(self, options: dict[str, Any]) -> int:
        systems = (
            [cli.system_named(options["system"])] if options["system"] else System.objects.order_by("slug")
        )
        code = cli.FINE
        for system in systems:
            for destination in cli.destinations_of(options["destination"]):
                code = max(code, self._trace(system, destination))
        return code

    def _trace(self, system: System, destination: Destination) -> int:
        traced = trace.trace(system, destination)
        where = f"{system.slug} @ {destination}"
        self.stdout.write(
            _("%(where)s: %(count)d sets, the newest is number %(newest)d")
            % {"where": where, "count": traced.found, "newest": traced.newest}
        )
        for text in traced.remarks:
            self.stdout.write(f"  {text}")
        for text in traced.alarming:
            self.stderr.write(self.style.ERROR(f"  {text}"))
        return cli.NEEDS_ATTENTION if traced.alarming else cli.FINE

    def _verify_one(self, one: Set, options: dict[str, Any]) -> int:
        copy = cli.copy_of(one, options["destination"])
        identity = cli.identity_from(options["identity_file"], encrypted=one.encrypted)
        if options["queue"]:
            verify.request(copy, options["level"], requested_by=cli.actor(), identity=identity)
            self.stdout.write(_("Asked for: %(copy)s, %(level)s") % {"copy": copy, "level": options["level"]})
            return cli.FINE
        with kept_here():
            wanted = verify.request(copy, options["level"], requested_by=cli.actor(), identity=identity)
        run_here(_job(wanted), sys.stdout, cli.actor())
        wanted.refresh_from_db()
        reached = f"({wanted.reached})" if wanted.reached else ""
        self.stdout.write(
            " ".join(
                filter(
                    None,
                    (
                        f"{copy}: {wanted.get_state_display()}",
                        reached,
                        shown(wanted.message),
                        shown(wanted.hint),
                    ),
                )
            )
        )
        for difference in wanted.differences:
            self.stdout.write(f"  {difference}")
        copy.refresh_from_db(fields=["spoiled"])
        if copy.spoiled:
            self.stderr.write(self.style.ERROR(f"{copy}: {', '.join(copy.spoiled)}. {companions.SPOILED}"))
        passed = cli.NEEDS_ATTENTION if copy.spoiled else cli.FINE
        good = {Verification.State.PASSED: passed, Verification.State.UNDECIDED: cli.NEEDS_ATTENTION}
        return good.get(Verification.State(wanted.state), cli.FAILED)


def _job(row: Set | Verification) -> Job:
    if row.job is None:
        raise OperationFailed(_("Its job is gone."))
    return row.job


def _row(one: Set) -> dict[str, Any]:
    return {
        "set": str(one), "system": one.system.slug, "plan": one.plan.name if one.plan else "", "state": one.state,
        "level": one.level, "capped": one.capped, "moment": f"{one.moment:%Y-%m-%d %H:%M:%SZ}" if one.moment else "",
        "plain_size": one.plain_size, "stored_size": one.stored_size, "message": one.message or one.level_reason,
        "hint": one.hint, "damaged": damaged(one), "partial": one.partial,
    }  # fmt: skip


def _table(sets: list[Set]) -> list[str]:
    """A header and a line for each set, as wide as the longest word of each column."""
    head = (_("SET"), _("STATE"), _("LEVEL"), _("MOMENT"), _("STORED"), _("MESSAGE"))
    rows = [head, *(_cells(one) for one in sets)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [word.ljust(width) for word, width in zip(row, widths, strict=True)]
        cells[4], cells[5] = row[4].rjust(widths[4]), row[5]
        lines.append("  ".join(cells).rstrip())
    return lines


def _cells(one: Set) -> tuple[str, ...]:
    """For people: the time where the system is, and sizes that can be read."""
    moment = one.moment.astimezone(ZoneInfo(one.system.time_zone)) if one.moment else None
    broken = damaged(one)
    message = damage(one) if broken else one.message or one.level_reason or one.partial_shown
    return (
        str(one), str(Copy.State.DAMAGED.label if broken else one.get_state_display()),
        str(one.get_level_display()) or "–", f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "–",
        sizes.size(one.stored_size), " ".join(message.split()),
    )  # fmt: skip


def _standing(plan: dict[str, Any]) -> str:
    if plan["reason"]:
        return str(plan["reason"])
    hours = (plan["age_seconds"] or 0) / 3600
    return _("%(set)s, %(level)s, %(hours).1f h old") % {
        "set": plan["set"], "level": plan["level"], "hours": hours}  # fmt: skip


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ValueError
    return names


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
