"""The recovery kit, on an operator's terminal."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from getpass import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.guides import kit
from backups.models import RecoveryKey
from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret

EPILOG = """
  manage.py recovery-kit                          a new key: prints the kit on this terminal
  manage.py recovery-kit --language de            the same in German
  manage.py recovery-kit --output /media/stick/kit.txt
  manage.py recovery-kit --check                  asks for the identity, without echo
  manage.py recovery-kit --check --challenge      a word to decrypt elsewhere: the identity stays in the safe
  manage.py recovery-kit --list                   keys, who was shown to hold them, how many sets need them
  manage.py recovery-kit --retire "safe 2026-01-02"
  manage.py recovery-kit --drill --output /etc/drcenter/drill.txt

The identity is printed once and kept nowhere. Without a terminal it is printed only into a file (--output),
so that it never gets into the log of a service.
Exit codes: 0 fine, 1 failed or refused, 2 usage, 3 a key is missing, or nobody has shown to hold one (--list).
"""


class Command(BaseCommand):
    help = "Make the recovery kit, show that somebody holds it, retire keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        act = parser.add_mutually_exclusive_group()
        act.add_argument("--check", action="store_true", help="show that somebody holds the identity")
        act.add_argument("--list", action="store_true", help="the keys, and how many sets need them")
        act.add_argument("--retire", metavar="NAME", help="no longer encrypt new sets to this key")
        act.add_argument(
            "--drill", action="store_true", help="make an identity for unattended drills, in a file"
        )
        parser.add_argument("--name", help="name of the key (default: today's date)")
        parser.add_argument(
            "--language", choices=kit.LANGUAGES, help="language of the kit (default: the shell's)"
        )
        parser.add_argument(
            "--output", metavar="FILE", help="write to a new file of mode 0600 instead of the terminal"
        )
        parser.add_argument("--identity-file", metavar="FILE", help="for --check: the file with the identity")
        parser.add_argument(
            "--challenge", action="store_true", help="for --check: a word that only the holder can read"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        language = options["language"] or ("de" if translation.get_language() == "de" else "en")
        try:
            with translation.override(language):
                code = self._act(options, language)
        except OperationFailed as error:
            raise cli.failed(error) from None
        if code:
            sys.exit(code)

    def _act(self, options: dict[str, Any], language: str) -> int:
        if options["check"]:
            return self._check(options)
        if options["list"]:
            return self._list()
        if options["retire"]:
            return self._retire(options["retire"])
        if options["drill"]:
            return self._drill(options)
        return self._make(options, language)

    # ------------------------------------------------------------------ new keys

    def _make(self, options: dict[str, Any], language: str) -> int:
        if not options["output"] and not self.stdout.isatty():
            raise CommandError(
                _("The kit is secret, and this is no terminal: it would end up in a log. Use --output FILE."),
                returncode=cli.USAGE,
            )

        def emit(key: RecoveryKey, identity: Secret) -> None:
            self._emit(kit.sheet(key, identity, language), options["output"])

        key = kit.make(options["name"] or kit.free_name(_("safe")), cli.actor(), emit)
        self._after(key, options["output"])
        return cli.FINE

    def _emit(self, text: str, output: str | None) -> None:
        if output:
            kit.write_private(Path(output), text)
            return
        self.stdout.write(text)
        self.stdout.flush()

    def _after(self, key: RecoveryKey, output: str | None) -> None:
        if output:
            self.stdout.write(
                _(
                    "Written to %(file)s. Print it, and move it away from this machine: whoever has it reads every "
                    "set that is taken from now on."
                )
                % {"file": output}
            )
        else:
            self.stdout.write(
                _("Print it now; it is kept nowhere. Then clear the terminal and its history of lines.")
            )
        self.stdout.write(
            _(
                "New sets are encrypted to “%(name)s”. When the kit is in the safe: manage.py recovery-kit --check"
            )
            % {"name": key.name}
        )
        if earlier := kit.unreadable(key):
            self.stdout.write(earlier)

    def _drill(self, options: dict[str, Any]) -> int:
        if not options["output"]:
            raise CommandError(
                _("--drill needs --output FILE: it is read by a machine."), returncode=cli.USAGE
            )
        place = Path(options["output"]).absolute()

        def emit(key: RecoveryKey, identity: Secret) -> None:
            kit.write_private(place, kit.identity_file(key, identity))

        key = kit.make(options["name"] or kit.free_name(_("drills")), cli.actor(), emit, for_drills=True)
        self.stdout.write(
            _("Written to %(file)s. Set for the workers that drill: DRC_DRILL_IDENTITY=file:%(file)s")
            % {"file": place}
        )
        self.stdout.write(
            _(
                "Whoever reads this file reads every set that is taken from now on. On the machine that writes the "
                "sets, a break-in there then reads old sets too: better keep it on another one that only proves."
            )
        )
        self.stdout.write(_("New sets are encrypted to “%(name)s” as well.") % {"name": key.name})
        return cli.FINE

    # ------------------------------------------------------------------ held, listed, retired

    def _check(self, options: dict[str, Any]) -> int:
        if options["challenge"]:
            key = self._answered(kit.challenge(kit.named(options["name"])))
            found = [key]
        else:
            found = kit.held(self._identity(options["identity_file"]), cli.actor())
        for key in found:
            self.stdout.write(
                _("The identity of “%(name)s” is held. Noted in the trail.") % {"name": key.name}
            )
        return cli.FINE

    def _identity(self, file: str | None) -> Secret:
        if file is None and not sys.stdin.isatty():
            raise CommandError(
                _("Nobody can be asked here: --identity-file FILE, or --challenge on a terminal."),
                returncode=cli.USAGE,
            )
        if file is None:
            return Secret(getpass(_("Identity (AGE-SECRET-KEY-1…): ")).strip())
        found = cli.identity_from(file, encrypted=True)
        return found if found is not None else Secret("")

    def _answered(self, challenge: kit.Challenge) -> RecoveryKey:
        if not sys.stdin.isatty():
            raise CommandError(_("A challenge needs a terminal."), returncode=cli.USAGE)
        self.stdout.write(_("Where the identity is, run  age -d -i identity.txt  and paste this:"))
        self.stdout.write(challenge.message)
        challenge.answer(input(_("The word it shows: ")), cli.actor())
        return challenge.key

    def _list(self) -> int:
        keys = list(RecoveryKey.objects.order_by("-active", "name"))
        for key in keys:
            use = _("active") if key.active else _("retired")
            drills = _(", for drills") if key.for_drills else ""
            held = _("never shown to be held")
            if key.held_at:
                held = f"{_('held')}: {timezone.localtime(key.held_at):%Y-%m-%d}"
            self.stdout.write(f"{key.name}: {use}{drills}; {held}")
            self.stdout.write(f"    {key.recipient}")
            self.stdout.write("    " + _needs(key))
        safe = [key for key in keys if key.active and not key.for_drills]
        if any(key.held_at for key in safe):
            return cli.FINE
        self.stdout.write(_missing(keys))
        return cli.NEEDS_ATTENTION

    def _retire(self, name: str) -> int:
        key = kit.retire(name, cli.actor())
        self.stdout.write(_("New sets are no longer encrypted to “%(name)s”.") % {"name": key.name})
        self.stdout.write(_needs(key) + " " + _("Keep its kit until the last of them is gone."))
        return cli.FINE


def _missing(keys: list[RecoveryKey]) -> str:
    """What is to be done while nobody has shown to hold an active key for the safe."""
    active = [key for key in keys if key.active]
    if any(not key.for_drills for key in active):
        return _("Nobody has shown to hold an active key: manage.py recovery-kit --check")
    if active:
        return _("Only a key for drills is active, and nobody holds a kit: manage.py recovery-kit")
    if keys:
        return _("No recovery key is active: manage.py recovery-kit")
    return _("There is no recovery key: manage.py recovery-kit")


def _needs(key: RecoveryKey) -> str:
    count = kit.sets_that_need(key)
    return ngettext(
        "%(count)d set can be read with it, %(only)d of them with no other active key.",
        "%(count)d sets can be read with it, %(only)d of them with no other active key.", count,
    ) % {"count": count, "only": kit.only_for(key)}  # fmt: skip
