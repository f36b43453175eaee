"""Onboarding by looking: point it at an application or a database."""

import getpass
import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from backups.calendar import foresee, set_up, told
from backups.look import Machine, Proposal, ProposedSource, look_at
from backups.look.database_url import is_url, read
from backups.models import RecoveryKey
from backups.protect import Protected, create, known_system, new_sources
from backups.shell import cli
from drcenter import sizes
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret, is_reference, resolve

FAILED, NEEDS_ATTENTION = 1, 3
# The profile of the daily plan of the calendar.
GOLDEN = "golden"
EPILOG = """
  manage.py protect /var/www/my-laravel-app         look, show, ask, create
  manage.py protect /var/www/my-laravel-app --yes   do not ask
  manage.py protect /var/www/my-laravel-app --yes --calendar   and the plans of the usual calendar
  manage.py protect /var/www/my-laravel-app --directory-only   nothing of the machine around it
  manage.py protect mysql://backup@db1/shop         asks for the password
  manage.py protect postgresql://backup@db2/shop --password-ref file:/etc/drcenter/shop
  manage.py protect env:DATABASE_URL --yes          the URL is in that variable
  manage.py protect sqlite:////srv/app/data.sqlite3

A password in the URL itself can be seen in the list of processes while this runs: better leave it out,
or give the whole URL as env:NAME. Running it again adds what is new, and nothing twice.
Exit codes: 0 fine, 1 failed, 2 usage, 3 something could not be reached or would be incomplete.
"""


class Command(BaseCommand):
    help = "Look at an application or a database, propose sources and a plan, and create them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument(
            "place", metavar="PATH_OR_URL", help="a directory, a SQLite file, a database URL, or env:NAME"
        )
        parser.add_argument("--name", help="name of the system (default: what the application calls itself)")
        parser.add_argument("--yes", action="store_true", help="create without asking")
        parser.add_argument("--json", action="store_true", help="print JSON; creates only with --yes")
        parser.add_argument(
            "--calendar", action="store_true",
            help="add the plans of the usual calendar: daily, weekly, monthly, quarterly, and what else applies",
        )  # fmt: skip
        parser.add_argument(
            "--directory-only", action="store_true",
            help="propose nothing of the machine: no system configuration, certificates, Redis, git, information",
        )  # fmt: skip
        parser.add_argument(
            "--password-ref",
            default="",
            metavar="REFERENCE",
            help="env:NAME or file:/path of the database password",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = self._protect(**options)
        except OperationFailed as error:
            if options["json"]:
                self.stdout.write(json.dumps({"error": error.message, "hint": error.hint}))
                sys.exit(FAILED)
            raise CommandError(str(error), returncode=FAILED) from None
        if code:
            sys.exit(code)

    def _protect(  # noqa: PLR0913, PLR0917 - what was typed
        self, place: str, name: str | None, yes: bool, json: bool, password_ref: str, calendar: bool,
        directory_only: bool, **_rest: Any,
    ) -> int:  # fmt: skip
        if password_ref and not is_reference(password_ref):
            raise CommandError(
                _("--password-ref takes env:NAME or file:/path, not the password itself."), returncode=2
            )
        proposal = look_at(
            *self._resolved(place, password_ref), machine=None if directory_only else Machine()
        )
        proposal.name = name or proposal.name
        new = new_sources(proposal)
        if json and not yes:
            self._print_json(proposal, None)
            return NEEDS_ATTENTION if attention(proposal, new) else 0
        if not json:
            self._show(proposal, new)
        if not [source for source in new if source.problem is None]:
            return self._nothing(proposal, new, json)
        if not (yes or self._confirmed()):
            self.stdout.write(_("Nothing was created."))
            return 0
        references = {"password": password_ref} if password_ref else {}
        done = create(proposal, cli.actor(), references, profile=GOLDEN if calendar else "")
        if calendar:
            set_up(done.system, requested_by=cli.actor())
        self._print_json(proposal, done) if json else self._report(done, calendar)
        return NEEDS_ATTENTION if attention(proposal, new) else 0

    # ------------------------------------------------------------------ what comes in

    def _resolved(self, place: str, password_ref: str) -> tuple[str, Secret | None]:
        """The place, and the password that the URL lacks."""
        if place.startswith("env:"):
            place = resolve(place).reveal()
        elif is_url(place) and "@" in place and ":" in place.partition("://")[2].rpartition("@")[0]:
            # Known to redact() from here on.
            Secret(place)
            self.stderr.write(
                self.style.WARNING(
                    _(
                        "The password in the URL can be seen in the list of processes. Better: env:NAME, or leave it out."
                    )
                )
            )
        if password_ref:
            return place, resolve(password_ref)
        if is_url(place) and _lacks_password(place) and sys.stdin.isatty():
            return place, Secret(getpass.getpass(_("Password of the database user (empty for none): ")))
        return place, None

    def _confirmed(self) -> bool:
        if not sys.stdin.isatty():
            raise CommandError(_("There is no terminal to ask on. Add --yes to create this."), returncode=2)
        return input(_("Create this? [y/N] ")).strip().lower() in {"y", "yes", "j", "ja"}

    # ------------------------------------------------------------------ what is shown

    def _show(self, proposal: Proposal, new: list[ProposedSource]) -> None:
        write, style = self.stdout.write, self.style
        write(style.MIGRATE_HEADING(_("Found: {name}").format(name=proposal.name)))
        for what, value in proposal.facts:
            write(f"  {what}: {value}")
        write(style.MIGRATE_HEADING(_("Proposed sources")))
        for source in proposal.sources:
            self._show_source(source, is_new=source in new)
        for note in proposal.notes:
            write(style.NOTICE(f"  ! {note}"))
        if not new:
            return
        write(style.MIGRATE_HEADING(_("Proposed plan")))
        write(
            _("  every day at 02:00, encrypted, proven by a restore; {size} to read").format(
                size=sizes.size(proposal.size)
            )
        )
        for label, commands in ((_("stop"), proposal.pause), (_("after a restore"), proposal.after_restore), (_("start"), proposal.resume)):  # fmt: skip
            for command in commands:
                write(f"  {label}: {' '.join(command)}")

    def _show_source(self, source: ProposedSource, *, is_new: bool) -> None:
        write, style = self.stdout.write, self.style
        if source.problem is not None:
            text = (
                _("cannot be reached, and is NOT protected: {why}")
                if is_new
                else _("is protected already, but cannot be reached as given here: {why}")
            )
            write(style.ERROR(f"  {source.name}: " + text.format(why=source.problem.message)))
            if source.problem.hint:
                write(style.ERROR(f"    {source.problem.hint}"))
            return
        state = "" if is_new else " – " + _("protected already")
        write(f"  {source.name} ({source.tier.label}): {source.target}, {sizes.size(source.size)}{state}")
        if source.reason:
            write(f"    {source.reason}")
        if source.critical_tables and is_new:
            names = ", ".join(source.critical_tables)
            write("    " + _("critical tables, by their names: {names}").format(names=names))
        for finding in source.findings:
            write((style.ERROR if finding.caps else style.NOTICE)(f"    ! {finding.message}"))
            if finding.hint:
                write(f"      {finding.hint}")

    def _nothing(self, proposal: Proposal, new: list[ProposedSource], as_json: bool) -> int:
        """Everything is protected already, or what is not cannot be reached."""
        if as_json:
            self._print_json(proposal, None)
        elif not new and not proposal.out_of_reach:
            self.stdout.write(
                _("All of it is protected already, as {system}: nothing new.").format(
                    system=known_system(proposal)
                )
            )
        if not new:
            return NEEDS_ATTENTION if attention(proposal, new) else 0
        if known_system(proposal) is None:
            raise OperationFailed(
                _("Nothing can be protected yet."), _("Cure what is said above, then run this again.")
            )
        return NEEDS_ATTENTION

    def _report(self, done: Protected, calendar: bool) -> None:
        write = self.stdout.write
        if calendar:
            for one in foresee(done.system):
                write(told(one))
        names = ", ".join(source.name for source in done.sources)
        text = (
            _("Created the system {system} with {sources}.")
            if done.system_is_new
            else _("Added to {system}: {sources}.")
        )
        write(self.style.SUCCESS(text.format(system=done.system.slug, sources=names)))
        for path in done.secret_files:
            write(
                _(
                    "The password is kept in {path} (mode 0600); the row holds a reference to that file."
                ).format(path=path)
            )
        if done.destination_is_new:
            write(
                self.style.NOTICE(
                    _("Sets are kept on this machine. They are lost with it: add a destination elsewhere.")
                )
            )
        if not RecoveryKey.objects.filter(active=True).exists():
            write(
                self.style.NOTICE(_("There is no recovery key yet. Make one first: manage.py recovery-kit"))
            )
        write(_("Back it up now: manage.py backup run {system} --wait").format(system=done.system.slug))

    def _print_json(self, proposal: Proposal, done: Protected | None) -> None:
        known = known_system(proposal)
        found = proposal.as_json() | {
            "new": [] if done else [source.name for source in new_sources(proposal)],
            "created": [source.name for source in done.sources] if done else [],
            "system": known.slug if known else "",
        }
        self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))


def attention(proposal: Proposal, new: list[ProposedSource]) -> bool:
    """True if something is not protected, or its sets would be incomplete."""
    capped = any(finding.caps for source in proposal.reachable for finding in source.findings)
    return capped or any(source.problem is not None for source in proposal.sources)


def _lacks_password(place: str) -> bool:
    address = read(place)
    return address.engine != "sqlite" and not address.has_password
