"""`manage.py recover rows` and `recover table`: compare, choose, look at the statements, put back, undo, export."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Copy, Recovery, RowChange, RowComparison, Source
from backups.recovery import begin
from backups.replay import moments
from backups.rows import apply, changing, compare, export, outcome, results
from backups.rows.condition import Condition, parsed
from backups.rows.merge import Kind
from backups.rows.results import Held, Table
from backups.rows.source import copy_at, way_to
from backups.rows.values import shown as value_shown
from backups.shell import cli, decisions, who
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.permissions import RESTORE_ROWS, has
from drcenter.stored import shown
from drcenter.systems.models import System

ACTS = ("rows", "table")
# Differences and statements that are printed.
PRINTED = 20
EPILOG = """
  manage.py recover rows shop orders --at "2025-06-17 14:00"            what was deleted, changed, added since
  manage.py recover rows shop orders --only deleted --where "total>100" --apply
  manage.py recover rows shop orders --compared 7 --where id=5 --apply  of a comparison that is there already
  manage.py recover rows shop orders --only deleted --export csv /root/deleted.csv
  manage.py recover rows shop --undo 12                                 what was put back as number 12
  manage.py recover rows shop --look 12                                 after a lost connection: applied or not?
  manage.py recover table shop orders --at "2025-06-17" --apply         the whole table as it was then

Rows are put back in one transaction, each under the condition that production is still as it was shown. A second
person approves exactly these statements (manage.py recover approve NUMBER).
Exit codes: 0 fine, 1 failed or conflicts, 2 usage, 3 waits for approval, or rows were left out.
"""


def arguments(acts: Any) -> None:
    helps = {
        "rows": _("deleted and changed rows of a table: look, put back, undo"),
        "table": _("a whole table as it was"),
    }
    for name in ACTS:
        act: ArgumentParser = acts.add_parser(
            name, help=helps[name], description=helps[name], epilog=EPILOG,
            formatter_class=RawDescriptionHelpFormatter,
        )  # fmt: skip
        _what(act)
        _which(act)
        _how(act)


def _what(act: ArgumentParser) -> None:
    act.add_argument("system")
    act.add_argument("table", nargs="?", help=_("the table, as it was called then"))
    act.add_argument(
        "--at",
        help=_(
            "as of that time, in the system's zone: to the second where the log is archived, else the newest set before"
        ),
    )
    act.add_argument("--set", help=_("which set"))
    act.add_argument("--destination", help=_("which copy (default: the best)"))
    act.add_argument("--source", help=_("the database, if the system has several"))
    act.add_argument("--counterpart", default="", help=_("what the table is called by now"))
    act.add_argument("--renamed", action="append", default=[], metavar="THEN=NOW",
                     help=_("a column that has another name by now; may be repeated"))  # fmt: skip
    act.add_argument("--key", help=_("columns that tell rows apart, with commas; * for whole rows"))
    act.add_argument(
        "--compared", type=int, metavar="NUMBER", help=_("an earlier comparison; nothing is restored")
    )


def _which(act: ArgumentParser) -> None:
    act.add_argument("--where", action="append", default=[], metavar="CONDITION",
                     help=_('"column=value", also != < <= > >= ~ (contains); may be repeated'))  # fmt: skip
    act.add_argument("--only", action="append", default=[], choices=list(Kind),
                     help=_("only these rows (default: deleted and changed); may be repeated"))  # fmt: skip
    act.add_argument(
        "--without-parents", action="store_true", help=_("leave out missing rows that these refer to")
    )
    act.add_argument("--with-children", action="store_true", help=_("also rows that were deleted with these"))
    act.add_argument("--export", nargs=2, metavar=("csv|sql", "FILE"), help=_("write a new file instead"))


def _how(act: ArgumentParser) -> None:
    act.add_argument("--apply", action="store_true", help=_("put them back"))
    act.add_argument("--undo", type=int, metavar="NUMBER", help=_("undo what was put back"))
    act.add_argument("--look", type=int, metavar="NUMBER", help=_("ask production how it ended"))
    act.add_argument(
        "--skip-conflicts", action="store_true", help=_("leave out rows that are not as shown any more")
    )
    act.add_argument("--without-triggers", action="store_true", help=_("PostgreSQL, as a superuser"))
    act.add_argument("--host", help=_("the host that is written to; asked for if missing"))
    who.arguments_to_ask(act)
    act.add_argument("--json", action="store_true", help=_("print JSON at the end"))


def run(command: Any, options: dict[str, Any]) -> int:
    """Exit code. Raises OperationFailed, CommandError."""
    return _Run(command, options, cli.system_named(options["system"])).run()


class _Run:
    def __init__(self, command: Any, options: dict[str, Any], system: System) -> None:
        self._command, self._options, self._system = command, options, system
        self._talk = command.stderr if options["json"] else command.stdout

    def run(self) -> int:
        options = self._options
        if options["look"]:
            return self._look(self._change(options["look"]))
        if options["undo"]:
            return self._carry_out(changing.plan_undo(
                self._change(options["undo"]), requested_by=cli.actor(), skip_conflicts=options["skip_conflicts"],
            ))  # fmt: skip
        comparison = self._earlier() if options["compared"] else self._compare()
        condition = self._condition(comparison)
        self._print(comparison, condition)
        if options["export"] or options["apply"]:
            return self._act(comparison, condition)
        if options["json"]:
            self._write_json(comparison)
        return cli.FINE

    # ------------------------------------------------------------------ comparing

    def _compare(self) -> RowComparison:
        options = self._options
        if not options["table"]:
            raise cli.usage(_("Name the table."))
        source = self._source()
        copy, moment, exact = self._copy(source)
        self._talk.write(
            _("The set %(set)s from %(destination)s.") % {"set": copy.set, "destination": copy.destination}
        )
        identity = cli.identity_from(options["identity_file"], encrypted=copy.set.encrypted)
        with kept_here():
            wanted = compare.request(
                copy, source, options["table"], requested_by=cli.actor(), identity=identity, wanted_at=moment, exact=exact,
                counterpart=options["counterpart"], key=_key(options["key"]), renamed=_renamed(options["renamed"]),
            )  # fmt: skip
        if wanted.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(wanted.job, sys.stderr if options["json"] else sys.stdout, cli.actor())
        wanted.refresh_from_db()
        if wanted.state != RowComparison.State.DONE:
            raise OperationFailed(shown(wanted.message), shown(wanted.hint))
        return wanted

    def _source(self) -> Source:
        there = [one for one in self._system.sources.order_by("name") if one.build().has_rows]
        known = cli.listed([one.name for one in there], _("none"))
        if name := self._options["source"]:
            there = [one for one in there if one.name == name]
        if len(there) != 1:
            raise cli.usage(_("Name the database with --source: %(known)s") % {"known": known})
        return there[0]

    def _copy(self, source: Source) -> tuple[Copy, datetime | None, bool]:
        """Which copy, the moment that was asked for, and whether the log is replayed up to it."""
        options = self._options
        if options["set"] or options["destination"]:
            one = cli.set_named(options["set"] or self._system.slug)
            return cli.copy_of(one, options["destination"]), None, False
        if not options["at"]:
            return copy_at(source, None), None, False
        text = options["at"] if len(options["at"].strip()) > 10 else f"{options['at'].strip()} 00:00"
        moment = moments.read(text, ZoneInfo(self._system.time_zone), timezone.now())
        try:
            _known, plan, copy = way_to(source, moment)
        except OperationFailed as error:
            self._talk.write(self._command.style.WARNING(
                _("Not to the second, but the newest set before it: %(reason)s") % {"reason": error.message}))  # fmt: skip
            return copy_at(source, moment), moment, False
        self._talk.write(
            _("To the second, by replaying %(size).1f MB of the log.") % {"size": plan.log_bytes / 1e6}
        )
        return copy, moment, True

    def _earlier(self) -> RowComparison:
        found = RowComparison.objects.filter(
            pk=self._options["compared"], source__system=self._system, state=RowComparison.State.DONE
        ).first()
        if found is None:
            raise cli.usage(_("There is no result of the comparison %(number)d (any more).") % {
                "number": self._options["compared"]})  # fmt: skip
        return found

    def _condition(self, comparison: RowComparison) -> Condition:
        with results.changed(compare.place_of(comparison)) as rows:
            table = next(iter(rows.tables().values()))
        usual = list(Kind) if self._options["act"] == "table" else [Kind.DELETED, Kind.CHANGED]
        writing = self._options["apply"] or self._options["export"]
        kinds = self._options["only"] or (usual if writing else list(Kind))
        return parsed(self._options["where"], [column.name for column in table.columns], kinds)

    def _print(self, comparison: RowComparison, condition: Condition) -> None:
        style, write = self._command.style, self._talk.write
        for note in comparison.notes:
            write(style.WARNING(f"  {shown(note)}"))
        with results.changed(compare.place_of(comparison)) as rows:
            found, counts = rows.page(condition, 0, PRINTED), rows.counts(condition)
            table = next(iter(rows.tables().values()))
        for held in found:
            write(f"  {_line(held, table)}")
        total = sum(counts[kind] for kind in Kind)
        if total > len(found):
            write(_("  … and %(count)d more") % {"count": total - len(found)})
        write(_("Comparison %(number)d: %(deleted)d deleted, %(changed)d changed, %(added)d added.") % {
            "number": comparison.pk, **{str(kind): counts[kind] for kind in Kind}})  # fmt: skip
        linked = comparison.counts
        if linked.get("parents") or linked.get("children"):
            write(_("Also missing: %(parents)d rows that these refer to (put back along), %(children)d that were"
                    " deleted with them (--with-children).") % linked)  # fmt: skip

    # ------------------------------------------------------------------ acting

    def _act(self, comparison: RowComparison, condition: Condition) -> int:
        options = self._options
        if options["export"] and options["export"][0] == "csv":
            export.write(options["export"][1], export.csv_of(comparison, condition))
            return cli.FINE
        if options["export"] and options["export"][0] != "sql":
            raise cli.usage(_("--export csv FILE, or --export sql FILE."))
        if not changing.chosen_of(comparison, condition):
            self._talk.write(_("There is nothing to put back."))
            return cli.FINE
        change = changing.plan(
            comparison, requested_by=cli.actor(), parents=not options["without_parents"],
            children=options["with_children"], skip_conflicts=options["skip_conflicts"],
            without_triggers=options["without_triggers"],
        )  # fmt: skip
        if options["export"]:
            export.write(options["export"][1], export.sql_of(change))
            return cli.FINE
        return self._carry_out(change)

    def _change(self, number: int) -> RowChange:
        found = RowChange.objects.filter(pk=number, comparison__source__system=self._system).first()
        if found is None:
            known = RowChange.objects.filter(comparison__source__system=self._system).values_list(
                "pk", flat=True
            )
            raise cli.usage(_("There is no number %(number)d. There are: %(known)s") % {
                "number": number, "known": cli.listed(map(str, known[:PRINTED]), _("none"))})  # fmt: skip
        return found

    def _carry_out(self, change: RowChange) -> int:
        self._preview(change)
        recovery = self._asked(change)
        if recovery is None:
            return cli.NEEDS_ATTENTION
        if recovery.job is None:
            raise OperationFailed(_("Its job is gone."))
        run_here(recovery.job, sys.stderr if self._options["json"] else sys.stdout, cli.actor())
        change.refresh_from_db()
        return self._concluded(change)

    def _preview(self, change: RowChange) -> None:
        with (
            results.changed(changing.place_of(change)) as file,
            change.comparison.source.build().rows(write=True) as session,
        ):
            for text in changing.texts(file, session, size=PRINTED):
                self._talk.write(f"  {text}")
        for table, verbs in change.counts.items():
            self._talk.write(f"  {table}: " + ", ".join(f"{count} {verb}" for verb, count in verbs.items()))
        for note in change.notes:
            self._talk.write(self._command.style.WARNING(f"  {shown(note)}"))

    def _asked(self, change: RowChange) -> Recovery | None:
        """What begins now; None when its plan waits for approval."""
        options, ask = self._options, self._command.ask
        wanted = apply.to_type(change)
        typed = options["host"] or ask(_("Type %(words)s to write to it: ") % {"words": wanted})
        typed = typed if "@" in typed else f"{self._system.slug}@{typed.strip()}"
        if not options["yes"] and ask(_("Go on? [y/N] ")).strip().lower() not in decisions.YES:
            raise CommandError(_("Nothing was done."), returncode=cli.FAILED)
        reason = options["reason"] or options["break_glass"] or ask(_("Why? "))
        user = self._user()
        recovery = apply.request(
            change, typed_host=typed, requested_by=user.get_username() if user else cli.actor(), user=user,
            reason=reason,
        )  # fmt: skip
        if not decisions.cleared(self._talk, recovery, user, options):
            return None
        with kept_here():
            return begin.begin(recovery, actor=recovery.requested_by)

    def _user(self) -> User | None:
        if self._options["break_glass"] and not self._options["user"]:
            return None
        user = who.proven(self._options, self._command.ask)
        if not has(user, RESTORE_ROWS):
            raise OperationFailed(_("%(name)s may not put rows back.") % {"name": user}, permanent=True)
        return user

    def _look(self, change: RowChange) -> int:
        if change.state in {RowChange.State.UNKNOWN, RowChange.State.COMMITTING}:
            outcome.settle(change, OperationFailed(_("It was asked again.")))
            change.refresh_from_db()
        return self._concluded(change)

    def _concluded(self, change: RowChange) -> int:
        good = change.state == RowChange.State.APPLIED
        if self._options["json"]:
            names = ("state", "counts", "conflicts", "message", "hint", "digest")
            found = {"number": change.pk} | {name: getattr(change, name) for name in names}
            self._command.stdout.write(json.dumps(found, indent=2))
        else:
            style = self._command.style.SUCCESS if good else self._command.style.ERROR
            self._talk.write(style(f"{change.get_state_display()}. {shown(change.message)}".strip()))
            for line in [*change.conflicts, shown(change.hint)]:
                self._talk.write(f"  {line}" if line else "")
            if good:
                self._talk.write(_("To undo it: manage.py recover rows %(system)s --undo %(number)d") % {
                    "system": self._system.slug, "number": change.pk})  # fmt: skip
        return (cli.NEEDS_ATTENTION if change.conflicts else cli.FINE) if good else cli.FAILED

    def _write_json(self, comparison: RowComparison) -> None:
        found = {
            "comparison": comparison.pk, "set": str(comparison.copy.set), "table": comparison.table,
            "counts": comparison.counts, "notes": comparison.notes, "timings": comparison.timings,
        }  # fmt: skip
        self._command.stdout.write(json.dumps(found, indent=2))


def _line(held: Held, table: Table) -> str:
    """- deleted, + added, ~ changed: with what it was, and what it is."""
    one, names = held.difference, [column.name for column in table.columns]
    sign = {Kind.DELETED: "-", Kind.ADDED: "+", Kind.CHANGED: "~"}[one.kind]
    values = one.then or one.now or ()
    if one.then is not None and one.now is not None:
        key = [f"{names[at]}={value_shown(values[at], 30)}" for at in table.key]
        moved = [
            f"{names[at]}: {value_shown(one.now[at], 30)} ← {value_shown(one.then[at], 30)}"
            for at in one.changed
        ]
        return f"{sign} {' '.join(key)}  {', '.join(moved)}"
    pairs = (f"{name}={value_shown(value, 30)}" for name, value in zip(names, values, strict=True))
    return f"{sign} {', '.join(pairs)}{f'  ({held.note})' if held.note else ''}"


def _key(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _renamed(pairs: list[str]) -> dict[str, str]:
    if bad := [pair for pair in pairs if "=" not in pair]:
        raise cli.usage(_("Write --renamed THEN=NOW, not %(pair)s.") % {"pair": bad[0]})
    return dict(pair.partition("=")[::2] for pair in pairs)
