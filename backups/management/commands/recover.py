"""Recovery from the shell: it has to work when the panel does not."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from backups.models import Copy, Recovery, Source
from backups.recovery import begin, beside, foretell, identities, restore
from backups.replay.point import Point
from backups.shell import checklist, cli, decisions, rows, to_timestamp, who
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.stored import shown

FULL, FILES = "full", "files"
SHOWN = ("state", "place", "message", "hint", "names", "steps", "counts", "differences")
YES = {"y", "yes", "j", "ja"}
EPILOG = """
  manage.py recover full shop                        every source of the newest set beside the originals
  manage.py recover full shop --source db --beside db=shop_yesterday
  manage.py recover files shop --beside storage=/srv/restored
  manage.py recover full shop --production           over production: writes the plan down, waits for approval
  manage.py recover approve 12                       a second person, with their login of the panel
  manage.py recover list | show 12 | begin 12        plans; begin one that was approved
  manage.py recover checklist 12                     what to look at after a restore; --tick POINT
  manage.py recover resume 12 | undo 12              one whose worker died: go on, or put back what was there
  manage.py recover full shop --production --break-glass "why nobody else can be asked"
  manage.py recover rows --help                      deleted and changed rows of a table
  manage.py recover to-timestamp shop "2025-06-17 14:00:00" --plan-only
  manage.py recover to-timestamp shop "2025-06-17 14:00:00" --beside shop_at_two
  manage.py recover to-timestamp shop --before-statement "DROP TABLE orders" --beside shop_before
  manage.py recover to-timestamp shop --position binlog.000012:4711 --production
  manage.py recover full shop --set 20260102T030405Z-1a2b3c4d-a1 --identity-file /media/key/identity.txt

It runs in this process: neither the panel nor a worker is needed. Ctrl-C stops it in order: what was
overwritten is put back. A lost connection of the terminal stops nothing.
Exit codes: 0 fine, 1 failed, 2 usage, 3 restored, but it differs from what the source held; or it waits for approval.
"""


class Command(BaseCommand):
    help = "Restore sets, beside the originals or over production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class, parser.epilog = RawDescriptionHelpFormatter, EPILOG
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        for name, text in ((FULL, _("every source of a set")), (FILES, _("its files alone"))):
            act = acts.add_parser(
                name, help=text, description=text, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter
            )
            _arguments(act)
        rows.arguments(acts)
        decisions.arguments(acts, EPILOG)
        checklist.arguments(acts)
        text = _("a database as of a point in time, into a scratch server first")
        act = acts.add_parser(
            to_timestamp.NAME, help=text, description=text, epilog=EPILOG,
            formatter_class=RawDescriptionHelpFormatter,
        )  # fmt: skip
        _arguments(act)
        to_timestamp.add_arguments(act)

    def handle(self, *args: Any, **options: Any) -> None:
        # With --json nothing but the JSON goes to standard output.
        self.talk = self.stderr if options["json"] else self.stdout
        try:
            code = self._act(options)
        except OperationFailed as error:
            if not options["json"]:
                raise cli.failed(error) from None
            self.stdout.write(json.dumps({"error": error.message, "hint": error.hint}))
            code = cli.FAILED
        except (KeyboardInterrupt, EOFError):
            raise CommandError(_("Nothing was done."), returncode=cli.FAILED) from None
        if code:
            sys.exit(code)

    def _act(self, options: dict[str, Any]) -> int:
        runs = {name: other.run for other in (decisions, rows, checklist) for name in other.ACTS}
        if options["act"] in runs:
            return int(runs[options["act"]](self, options))
        return self._rewind(options) if options["act"] == to_timestamp.NAME else self._recover(options)

    def _recover(self, options: dict[str, Any]) -> int:
        _refuse_contradictions(options)
        system = cli.system_named(options["system"])
        copy = cli.copy_of(cli.set_named(options["set"] or system.slug), options["destination"])
        if copy.set.system_id != system.pk:
            raise cli.usage(_("That set belongs to another system: %(set)s") % {"set": copy.set})
        broken = cli.newest_damaged(system)
        if broken is not None and not options["set"]:
            self.stderr.write(self.style.WARNING(cli.told_damaged(broken)))
        sources = self._sources(copy, options)
        self._say_which(copy)
        recovery = (self._production if options["production"] else self._beside)(copy, sources, options)
        if recovery is None:
            return cli.NEEDS_ATTENTION
        return self.run(recovery, options)

    def run(self, recovery: Recovery, options: dict[str, Any]) -> int:
        """Run its job in this process, and say how it ended."""
        if recovery.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(recovery.job, sys.stderr if options["json"] else sys.stdout, cli.actor())
        return self._conclude(Recovery.objects.get(pk=recovery.pk), options["json"])

    def _rewind(self, options: dict[str, Any]) -> int:
        """Into a scratch server; then, where that was asked for, as the set that was made of it, like any other."""
        _refuse_contradictions(options | {"beside": []})
        system = cli.system_named(options["system"])
        asked = to_timestamp.wanted(system, options)
        for number, line in enumerate(to_timestamp.sentences(asked), 1):
            self.talk.write(f"  {number}. {line}")
        if options["plan_only"]:
            if options["json"]:
                self.stdout.write(json.dumps(to_timestamp.as_json(asked), indent=2))
            return cli.FINE
        self._confirm(options)
        store = bool(options["production"] or options["beside"])
        row = to_timestamp.bring_back(asked, options, store=store, talk=self.talk.write)
        if not store:
            return self._conclude(row, options["json"])
        one, name = to_timestamp.stored(row), asked.source.name
        self.talk.write(_("Its state is the set %(set)s now.") % {"set": one})
        beside = [pair if "=" in pair else f"{name}={pair}" for pair in options["beside"]]
        return self._recover(options | {"act": FULL, "set": str(one), "source": [name], "beside": beside})

    def _sources(self, copy: Copy, options: dict[str, Any]) -> list[Source]:
        """The chosen ones. Those that were deleted here stop a restore that names none: it would not be whole."""
        there, gone = restore.restorable_sources(copy)
        if options["act"] == FILES:
            there = [source for source in there if source.engine == FILES]
            gone = [name for name in gone if name in options["source"]]
        known = [source.name for source in there]
        named = [*options["source"], *(pair.partition("=")[0] for pair in options["beside"])]
        if unknown := [name for name in named if name not in known and name not in gone]:
            text = _("The set has no such source: %(name)s. It has: %(known)s")
            have = cli.listed([*known, *gone], _("none"))
            raise cli.usage(text % {"name": ", ".join(unknown), "known": have})
        wanted = options["source"] or [*known, *gone]
        if missing := [name for name in wanted if name in gone]:
            restore.chosen_sources(copy, [Source(name=missing[0])])
        if not wanted:
            raise cli.usage(_("The set has no files."))
        return [source for source in there if source.name in wanted]

    def _say_which(self, copy: Copy) -> None:
        one = copy.set
        age = timesince(one.moment, timezone.now()) if one.moment else "?"
        self.talk.write(
            _("The set %(set)s, %(age)s old (%(moment)s UTC), %(level)s, from %(destination)s.")
            % {
                "set": one,
                "age": age,
                "moment": f"{one.moment:%Y-%m-%d %H:%M:%S}" if one.moment else "?",
                "level": copy.get_level_display() or _("not verified"),
                "destination": copy.destination,
            }
        )
        if one.partial:
            self.talk.write(self.style.WARNING(f"  {one.partial_shown}"))

    def _beside(self, copy: Copy, sources: list[Source], options: dict[str, Any]) -> Recovery:
        names = dict(pair.partition("=")[::2] for pair in options["beside"])
        for source in sources:
            names.setdefault(source.name, beside.default_name(copy.set, source))
        for name, place in beside.check_places(copy.set.system, sources, names).items():
            self.talk.write(f"  {name} → {shown(place.target)}")
            if warning := beside.exposed(place):
                self.talk.write(self.style.WARNING(f"  {warning}"))
        self._confirm(options)
        identity = cli.identity_from(options["identity_file"], encrypted=copy.set.encrypted)
        with kept_here():
            return restore.request_beside(
                copy, sources=sources, names=names, requested_by=cli.actor(), identity=identity
            )

    def _production(self, copy: Copy, sources: list[Source], options: dict[str, Any]) -> Recovery | None:
        """What begins now; None when its plan waits for approval."""
        skipped = {"skip_safety": options["without_safety_backup"], "skip_stop": options["without_stop"]}
        for number, line in enumerate(restore.describe_production(copy, sources, **skipped), 1):
            self.talk.write(f"  {number}. {line}")
        chosen, _left_out = restore.overwritable(restore.chosen_sources(copy, sources))
        for error in foretell.refusals(copy, chosen):
            raise error
        typed = self._typed(copy, sources, options["host"])
        try:
            restore.check_typed(copy, chosen, typed, cli.actor())
        except OperationFailed as error:
            # Said at once: nothing else is asked for what is refused anyway.
            raise cli.usage(f"{error.message} {error.hint}") from None
        self._confirm(options)
        reason = options["reason"] or options["break_glass"] or self.ask(_("Why? "))
        user = who.asks(options, self.ask)
        identity = cli.identity_from(options["identity_file"], encrypted=copy.set.encrypted)
        if copy.set.encrypted:
            identities.check_fits(copy.set.recipients, identity)
        recovery = restore.request_production(
            copy, sources=sources, typed_host=typed, requested_by=user.get_username() if user else cli.actor(),
            user=user, reason=reason, **skipped,
        )  # fmt: skip
        if not decisions.cleared(self.talk, recovery, user, options):
            return None
        with kept_here():
            return begin.begin(recovery, actor=recovery.requested_by, identity=identity)

    def _typed(self, copy: Copy, sources: list[Source], host: str | None) -> str:
        """The system stands on the command line already: --host says the rest."""
        if host:
            words = (word.strip() for word in host.split(","))
            return ", ".join(word if "@" in word else f"{copy.set.system.slug}@{word}" for word in words)
        chosen, _left_out = restore.overwritable(restore.chosen_sources(copy, sources))
        wanted = ", ".join(restore.to_type(chosen))
        return self.ask(_("Type %(words)s to overwrite it: ") % {"words": wanted})

    def _confirm(self, options: dict[str, Any]) -> None:
        if not options["yes"] and self.ask(_("Go on? [y/N] ")).strip().lower() not in YES:
            raise CommandError(_("Nothing was done."), returncode=cli.FAILED)

    def ask(self, question: str) -> str:
        if not sys.stdin.isatty():
            raise cli.usage(
                _("There is no terminal to ask on: give --yes, and --host for a restore over production.")
            )
        self.talk.write(question, ending="")
        self.talk.flush()
        return input()

    def _conclude(self, recovery: Recovery, as_json: bool) -> int:
        if as_json:
            found = {name: getattr(recovery, name) for name in SHOWN} | {"set": str(recovery.copy.set)}
            found["places"] = _places(recovery)
            if recovery.place == Recovery.Place.SCRATCH:
                found["point"] = Point.from_json(recovery.point).as_json()
            found["safety_set"] = str(recovery.safety_set) if recovery.safety_set else None
            self.stdout.write(json.dumps(found, indent=2))
        else:
            self._print(recovery)
        wanted = Recovery.State.ROLLED_BACK if recovery.act == Recovery.Act.UNDO else Recovery.State.SUCCEEDED
        if recovery.state != wanted:
            return cli.FAILED
        return cli.NEEDS_ATTENTION if recovery.differences else cli.FINE

    def _print(self, recovery: Recovery) -> None:
        style = self.style.SUCCESS if recovery.state == Recovery.State.SUCCEEDED else self.style.ERROR
        lines = [f"{recovery.state_shown}. {shown(recovery.message)}".strip(), shown(recovery.hint)]
        for line in filter(None, lines):
            self.stdout.write(style(line))
        for source, target in _places(recovery).items():
            self.stdout.write(f"  {source} → {target}")
        for source, counted in recovery.counts.items():
            self.stdout.write(f"  {source}: " + ", ".join(f"{name} {rows}" for name, rows in counted.items()))
        for difference in recovery.differences:
            self.stdout.write(self.style.ERROR(f"  {difference}"))


def _places(recovery: Recovery) -> dict[str, str]:
    """Where to look now."""
    return beside.targets(recovery) if recovery.state == Recovery.State.SUCCEEDED else {}


def _arguments(act: ArgumentParser) -> None:
    act.add_argument("system")
    act.add_argument("--set", help=_("which set (default: the newest complete one)"))
    act.add_argument("--destination", help=_("which copy (default: the best)"))
    act.add_argument("--source", action="append", default=[], help=_("only this source; may be repeated"))
    act.add_argument("--beside", action="append", default=[], metavar="SOURCE=NAME",
                     help=_("the new database of a source, or an absolute path (default: below DRC_STATE/restored)"))  # fmt: skip
    act.add_argument("--production", action="store_true", help=_("overwrite the originals"))
    act.add_argument("--host", help=_("the host that is overwritten; asked for if missing"))
    act.add_argument("--without-safety-backup", action="store_true", help=_("for what is beyond saving"))
    act.add_argument("--without-stop", action="store_true",
                     help=_("do not run the stop commands: the application is stopped already, or too broken for it"))  # fmt: skip
    who.arguments_to_ask(act)
    act.add_argument("--json", action="store_true", help=_("print the recovery as JSON at the end"))


def _refuse_contradictions(options: dict[str, Any]) -> None:
    if options["production"] and options["beside"]:
        raise cli.usage(_("Either --production or --beside, not both."))
    of_production = (
        "host",
        "without_safety_backup",
        "without_stop",
        "break_glass",
        "no_wait",
        "reason",
        "user",
    )
    if not options["production"] and any(options[name] for name in of_production):
        raise cli.usage(
            _(
                "--host, --without-safety-backup, --without-stop, --reason, --as, --break-glass and --no-wait go with --production."
            )
        )
    if bad := [pair for pair in options["beside"] if "=" not in pair]:
        raise cli.usage(_("Write --beside SOURCE=NAME, not %(pair)s.") % {"pair": bad[0]})
