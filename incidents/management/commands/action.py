"""Actions from the shell: for when the panel is what is broken."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.stored import shown
from incidents import run_action
from incidents.models import ActionRun, PreparedAction

EPILOG = """
examples:
  manage.py action list shop
  manage.py action look shop "Roll back the release"          what it would do; changes nothing
  manage.py action run shop "Fail over the database" --system-key shop --yes
  manage.py action undo 12

Actions are prepared in the panel. They run in this process: neither the panel nor a worker is needed.
Exit codes: 0 fine, 1 failed, 2 usage, 3 done, but it did not work.
"""


class Command(BaseCommand):
    help = "Run what was prepared for an incident: roll back, fail over, and take it back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listing = acts.add_parser("list", help=_("what is prepared, and what was run last"))
        listing.add_argument("system", nargs="?")
        for name, text in (("look", _("what it would do now")), ("run", _("do it"))):
            act = acts.add_parser(name, help=text)
            act.add_argument("system")
            act.add_argument("action", help=_("its name"))
        act.add_argument(
            "--system-key", default="", help=_("the key of the system, typed; asked for if missing")
        )
        undo = acts.add_parser("undo", help=_("give back what there was before a run"))
        undo.add_argument("run", type=int, help=_("number of the run"))
        for one in (act, undo):
            one.add_argument("--yes", action="store_true", help=_("do not ask"))
        for one in (listing, act, undo):
            one.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = getattr(self, f"_{options['act']}")(options)
        except OperationFailed as error:
            raise cli.failed(error) from None
        except (KeyboardInterrupt, EOFError):
            raise CommandError(_("Nothing was done."), returncode=cli.FAILED) from None
        if code:
            sys.exit(code)

    def _list(self, options: dict[str, Any]) -> int:
        rows = PreparedAction.objects.select_related("system")
        if options["system"]:
            rows = rows.filter(system=cli.system_named(options["system"]))
        found = [(row, row.runs.first()) for row in rows]
        if options["json"]:
            self.stdout.write(json.dumps([
                {"system": row.system.slug, "name": row.name, "kind": row.kind, "what": row.build().describe(),
                 "last": last.state if last else None}
                for row, last in found
            ], indent=2))  # fmt: skip
            return cli.FINE
        for row, last in found:
            told = last.get_state_display() if last is not None else _("never run")
            self.stdout.write(f"{row.system.slug}  {row.name}  [{row.build().describe()}]  {told}")
        if not found:
            self.stdout.write(_("Nothing is prepared: do it in the panel, “Actions”."))
        return cli.FINE

    def _look(self, options: dict[str, Any]) -> int:
        self._tell(_named(options))
        return cli.FINE

    def _run(self, options: dict[str, Any]) -> int:
        prepared = _named(options)
        self._tell(prepared, quiet=options["json"])
        typed = options["system_key"]
        if not typed and prepared.build().destructive:
            typed = self._ask(_("Type %(words)s to go on: ") % {"words": prepared.system.slug})
        self._confirm(options)
        with kept_here():
            run = run_action.request(prepared, requested_by=cli.actor(), typed=typed)
        return self._conclude(run, options)

    def _undo(self, options: dict[str, Any]) -> int:
        run = ActionRun.objects.filter(pk=options["run"]).first()
        if run is None:
            raise cli.usage(_("There is no run %(number)d.") % {"number": options["run"]})
        self._confirm(options)
        with kept_here():
            back = run_action.request_undo(run, requested_by=cli.actor())
        return self._conclude(back, options)

    def _tell(self, prepared: PreparedAction, *, quiet: bool = False) -> None:
        out = self.stderr if quiet else self.stdout
        out.write(prepared.build().describe())
        for number, line in enumerate(run_action.foretell(prepared), 1):
            out.write(f"  {number}. {line}")

    def _conclude(self, run: ActionRun, options: dict[str, Any]) -> int:
        if run.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(run.job, sys.stderr if options["json"] else sys.stdout, cli.actor())
        run = ActionRun.objects.get(pk=run.pk)
        if options["json"]:
            names = ("pk", "name", "kind", "state", "before", "measured", "message", "hint")
            self.stdout.write(json.dumps({name: getattr(run, name) for name in names}, indent=2))
        else:
            lines = [
                f"#{run.pk} {run.get_state_display()}. {shown(run.measured or run.message)}",
                shown(run.hint),
            ]
            self.stdout.write("\n".join(filter(None, lines)))
        if run.state == ActionRun.State.NOT_VERIFIED:
            return cli.NEEDS_ATTENTION
        return cli.FINE if run.state == ActionRun.State.SUCCEEDED else cli.FAILED

    def _confirm(self, options: dict[str, Any]) -> None:
        if not options["yes"] and self._ask(_("Go on? [y/N] ")).strip().lower() not in {
            "y",
            "yes",
            "j",
            "ja",
        }:
            raise CommandError(_("Nothing was done."), returncode=cli.FAILED)

    def _ask(self, question: str) -> str:
        if not sys.stdin.isatty():
            raise cli.usage(_("There is no terminal to ask on: give --yes, and --system-key."))
        self.stdout.write(question, ending="")
        self.stdout.flush()
        return input()


def _named(options: dict[str, Any]) -> PreparedAction:
    system = cli.system_named(options["system"])
    found = PreparedAction.objects.filter(system=system, name=options["action"]).first()
    if found is None:
        known = cli.listed(
            PreparedAction.objects.filter(system=system).values_list("name", flat=True), _("none yet")
        )
        raise cli.usage(
            _("There is no action %(name)s. There are: %(known)s")
            % {"name": options["action"], "known": known}
        )
    return found
