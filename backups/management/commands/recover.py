"""Recovery from the shell: it has to work when the panel does not."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from backups import cli, restore
from backups.models import Copy, Recovery, Source
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here

FILES = "files"
EPILOG = """
  manage.py recover full shop                        every source of the newest set beside the originals
  manage.py recover full shop --source db --beside db=shop_yesterday
  manage.py recover files shop --beside storage=/srv/restored
  manage.py recover full shop --production           over production: shows the steps, asks for the host
  manage.py recover full shop --production --host db1 --yes
  manage.py recover full shop --set 20260102T030405Z-1a2b3c4d-a1 --identity-file /media/key/identity.txt

It runs in this process: neither the panel nor a worker is needed.
Exit codes: 0 fine, 1 failed, 2 usage, 3 restored, but it differs from what the source held.
"""


class Command(BaseCommand):
    help = "Restore sets, beside the originals or over production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        for name, text in (("full", "every source of a set"), (FILES, "its files alone")):
            act = acts.add_parser(name, help=text)
            act.add_argument("system")
            act.add_argument("--set", help="which set (default: the newest complete one)")
            act.add_argument("--destination", help="which copy (default: the best)")
            act.add_argument(
                "--source", action="append", default=[], help="only this source; may be repeated"
            )
            act.add_argument("--beside", action="append", default=[], metavar="SOURCE=NAME",
                             help="the new database or directory of a source")  # fmt: skip
            act.add_argument("--production", action="store_true", help="overwrite the originals")
            act.add_argument("--host", help="the host that is overwritten; asked for if missing")
            act.add_argument("--without-safety-backup", action="store_true", help="for what is beyond saving")
            act.add_argument("--identity-file", help="an age identity; asked for where there is a terminal")
            act.add_argument("--yes", action="store_true", help="do not ask")
            act.add_argument("--json", action="store_true", help="print the recovery as JSON at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = self._recover(options)
        except OperationFailed as error:
            raise cli.failed(error) from None
        if code:
            sys.exit(code)

    def _recover(self, options: dict[str, Any]) -> int:
        system = cli.system_named(options["system"])
        copy = cli.copy_of(cli.set_named(options["set"] or system.slug), options["destination"])
        if copy.set.system_id != system.pk:
            raise CommandError(_("That set belongs to another system."), returncode=cli.USAGE)
        sources = self._sources(copy, options)
        request = self._production if options["production"] else self._beside
        identity = cli.identity_from(options["identity_file"], encrypted=copy.set.encrypted)
        with kept_here():
            recovery = request(copy, sources, options, identity)
        if recovery.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(recovery.job, sys.stderr if options["json"] else sys.stdout)
        return self._conclude(Recovery.objects.get(pk=recovery.pk), options["json"])

    def _sources(self, copy: Copy, options: dict[str, Any]) -> list[Source]:
        chosen = restore.chosen_sources(copy, [])
        if options["act"] == FILES:
            chosen = [source for source in chosen if source.engine == FILES]
        if unknown := set(options["source"]) - {source.name for source in chosen}:
            raise CommandError(
                _("The set has no source %(name)s.") % {"name": ", ".join(sorted(unknown))},
                returncode=cli.USAGE,
            )
        wanted = [source for source in chosen if not options["source"] or source.name in options["source"]]
        if not wanted:
            raise CommandError(_("The set has no such source."), returncode=cli.USAGE)
        return wanted

    def _beside(self, copy: Copy, sources: list[Source], options: dict[str, Any], identity: Any) -> Recovery:
        names = dict(pair.partition("=")[::2] for pair in options["beside"])
        stamp = copy.set.identifier[:15].replace("T", "_").lower()
        for source in sources:
            names.setdefault(source.name, f"{source.system.slug}_{source.name}_{stamp}".replace("-", "_"))
            self.stdout.write(f"  {source} → {source.build().beside(names[source.name]).target}")
        self._confirm(options)
        return restore.request_beside(
            copy, sources=sources, names=names, requested_by=cli.actor(), identity=identity
        )

    def _production(
        self, copy: Copy, sources: list[Source], options: dict[str, Any], identity: Any
    ) -> Recovery:
        for number, line in enumerate(restore.describe_production(copy, sources), 1):
            self.stdout.write(f"  {number}. {line}")
        host = options["host"] or self._ask(_("Type the host that is overwritten: "))
        self._confirm(options)
        return restore.request_production(
            copy, sources=sources, typed_host=host, requested_by=cli.actor(), identity=identity,
            skip_safety=options["without_safety_backup"],
        )  # fmt: skip

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
            raise CommandError(
                _("There is no terminal to ask on: give --host and --yes."), returncode=cli.USAGE
            )
        return input(question)

    def _conclude(self, recovery: Recovery, as_json: bool) -> int:
        if as_json:
            names = ("state", "message", "hint", "steps", "counts", "differences")
            self.stdout.write(json.dumps({name: getattr(recovery, name) for name in names}, indent=2))
        else:
            self.stdout.write(f"{recovery.get_state_display()} {recovery.message} {recovery.hint}".strip())
            for difference in recovery.differences:
                self.stdout.write(f"  {difference}")
        if recovery.state != Recovery.State.SUCCEEDED:
            return cli.FAILED
        return cli.NEEDS_ATTENTION if recovery.differences else cli.FINE
