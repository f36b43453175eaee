"""Drills from the shell: hold one here, see how they went, check their evidence."""

import base64
import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from backups.drills import drill as drills
from backups.drills import evidence
from backups.models import Drill, Source
from backups.recovery import restore
from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.stored import shown

SHOW, LIST = "show", "list"
EPILOG = """
  manage.py drill shop                       rehearse the recovery of its newest set, here, on scratch servers
  manage.py drill shop --set 20260102T030405Z-1a2b3c4d-a1 --source db
  manage.py drill shop --identity-file /media/key/identity.txt --json
  manage.py drill shop --queue               leave it to the workers, and do not wait
  manage.py drill list [SYSTEM]              how they went, and what each of them measured
  manage.py drill show 7 [--json]            one of them, with its evidence
  manage.py drill show 7 --evidence DIR      writes its evidence and the signature, and says how OpenSSL checks them

It runs in this process: neither the panel nor a worker is needed. It touches nothing real.
Exit codes: 0 passed, 1 failed or could not be held, 2 usage, 3 the set is good, but a check of the system does not hold.
"""
FIELDS = (
    "outcome", "requested_by", "message", "hint", "sources", "checks", "counts", "classes", "machine_seconds",
    "waited_seconds", "lost_seconds", "reservations", "evidence_sha256", "signature", "signing_key",
)  # fmt: skip
TIMES = ("created_at", "planned_at", "started_at", "finished_at", "recorded_at")


class Command(BaseCommand):
    help = "Rehearse a recovery on scratch servers, measure it, and keep the evidence."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        parser.add_argument("words", nargs="+", metavar="SYSTEM | show N | list [SYSTEM]",
                            help=_("the system to rehearse, or what to show"))  # fmt: skip
        parser.add_argument("--set", help=_("which set (default: the newest complete one)"))
        parser.add_argument("--destination", help=_("which copy (default: the best)"))
        parser.add_argument(
            "--source", action="append", default=[], help=_("only this source; may be repeated")
        )
        parser.add_argument("--identity-file", help=_("an age identity; asked for where there is a terminal"))
        parser.add_argument(
            "--queue", action="store_true", help=_("leave it to the workers, and do not wait")
        )
        parser.add_argument("--evidence", metavar="DIR", help=_("where to write evidence and signature"))
        parser.add_argument("--json", action="store_true", help=_("print JSON"))

    def handle(self, *args: Any, **options: Any) -> None:
        first, *rest = options["words"]
        try:
            if first == SHOW and rest:
                code = self._show(_drill_numbered(rest), options)
            elif first == LIST and len(rest) <= 1:
                code = self._list(rest, as_json=options["json"])
            elif rest:
                raise cli.usage(_("One system at a time: manage.py drill SYSTEM"))
            else:
                code = self._hold(first, options)
        except OperationFailed as error:
            if not options["json"]:
                raise cli.failed(error) from None
            self.stdout.write(json.dumps({"error": error.message, "hint": error.hint}))
            code = cli.FAILED
        if code:
            sys.exit(code)

    def _hold(self, slug: str, options: dict[str, Any]) -> int:
        system = cli.system_named(slug)
        copy = cli.copy_of(cli.set_named(options["set"] or system.slug), options["destination"])
        if copy.set.system_id != system.pk:
            raise cli.usage(_("That set belongs to another system: %(set)s") % {"set": copy.set})
        known = {one.name: one for one in restore.restorable_sources(copy)[0]}
        if unknown := [name for name in options["source"] if name not in known]:
            text = _("The set has no such source: %(name)s. It has: %(known)s")
            raise cli.usage(text % {"name": ", ".join(unknown), "known": cli.listed(known, _("none"))})
        sources: list[Source] = [known[name] for name in options["source"]]
        identity = cli.identity_from(options["identity_file"], encrypted=copy.set.encrypted)
        request = partial(drills.request, copy, sources=sources, identity=identity, requested_by=cli.actor())
        if options["queue"]:
            held = request()
            self.stdout.write(_("Asked for: drill %(number)d") % {"number": held.pk})
            return cli.FINE
        with kept_here():
            held = request()
        if held.recovery is None or held.recovery.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(held.recovery.job, sys.stderr if options["json"] else sys.stdout, cli.actor())
        held = Drill.objects.get(pk=held.pk)
        self._tell(held, as_json=options["json"])
        return _code(held)

    def _show(self, drill: Drill, options: dict[str, Any]) -> int:
        self._tell(drill, as_json=options["json"])
        good = evidence.holds(drill)
        if not options["json"] and good is False:
            self.stdout.write(self.style.ERROR(_("The signature does not fit: the evidence was changed.")))
        if options["evidence"]:
            self._write(drill, Path(options["evidence"]))
        return cli.FAILED if good is False else cli.FINE

    def _write(self, drill: Drill, directory: Path) -> None:
        if not drill.evidence:
            raise OperationFailed(_("This drill has no evidence: it never began."), permanent=True)
        name = evidence.file_name(drill)
        try:
            (directory / name).write_bytes(drill.evidence.encode())
            (directory / f"{name}.sig").write_bytes(base64.b64decode(drill.signature))
        except OSError as error:
            raise OperationFailed(f"{error.filename}: {error.strerror}") from None
        self.stderr.write(_("Check it with the public key of the recovery kit in key.pem:"))
        self.stderr.write(f"  cd {directory} && {evidence.COMMAND.format(name=name)}")

    def _list(self, words: list[str], *, as_json: bool) -> int:
        drills_held = Drill.objects.select_related("system", "set")
        if words:
            drills_held = drills_held.filter(system=cli.system_named(words[0]))
        found = list(drills_held[:50])
        if as_json:
            self.stdout.write(json.dumps([as_json_of(one) for one in found], indent=2))
        for one in [] if as_json else found:
            self.stdout.write(_line(one))
        if not found and not as_json:
            self.stdout.write(_("No drill was ever held: manage.py drill SYSTEM"))
        return cli.FINE

    def _tell(self, drill: Drill, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(as_json_of(drill), indent=2))
            return
        style = self.style.SUCCESS if drill.outcome == Drill.Outcome.PASSED else self.style.ERROR
        self.stdout.write(style(_line(drill)))
        for text in filter(None, (shown(drill.message), shown(drill.hint))):
            self.stdout.write(style(f"  {text}"))
        for one in drill.checks:
            mark = "✓" if one["ok"] else "✗"
            self.stdout.write(f"  {mark} {one['check']}: {shown(one['message'])}")
        for one in drill.reservations:
            self.stdout.write(self.style.WARNING(f"  {shown(one)}"))
        if drill.evidence_sha256:
            self.stdout.write(f"  SHA-256 {drill.evidence_sha256}")


def as_json_of(drill: Drill) -> dict[str, Any]:
    """For machines (docs/drills.md): seconds, moments in ISO 8601."""
    found: dict[str, Any] = {"drill": drill.pk, "system": drill.system.slug}
    found |= {"set": drill.set.identifier if drill.set else None}
    found |= {name: getattr(drill, name) for name in FIELDS}
    found |= {name: moment.isoformat() if (moment := getattr(drill, name)) else None for name in TIMES}
    found["steps"] = drill.recovery.steps if drill.recovery else []
    found["differences"] = drill.recovery.differences if drill.recovery else []
    return found | {
        "evidence": drill.evidence,
        "verify": evidence.COMMAND.format(name=evidence.file_name(drill)),
    }


def _line(drill: Drill) -> str:
    text = _("%(number)d %(system)s %(set)s: %(outcome)s") % {
        "number": drill.pk, "system": drill.system.slug, "set": drill.set.identifier if drill.set else "–",
        "outcome": drill.get_outcome_display()}  # fmt: skip
    if drill.machine_seconds is None or drill.lost_seconds is None:
        return text
    return text + _(", back in %(takes).1f s, would have lost %(lost).0f s") % {
        "takes": drill.machine_seconds, "lost": drill.lost_seconds}  # fmt: skip


def _drill_numbered(words: list[str]) -> Drill:
    number = words[0].removeprefix("#")
    found = Drill.objects.filter(pk=int(number)).first() if number.isascii() and number.isdigit() else None
    if found is None or len(words) > 1:
        raise cli.usage(_("There is no drill %(number)s: manage.py drill list") % {"number": " ".join(words)})
    return found


def _code(drill: Drill) -> int:
    if drill.outcome == Drill.Outcome.PASSED:
        return cli.FINE
    same = drill.recovery is not None and not drill.recovery.differences
    return cli.NEEDS_ATTENTION if same and drill.failed_checks else cli.FAILED
