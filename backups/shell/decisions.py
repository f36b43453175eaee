"""`manage.py recover list | show | approve | refuse | begin | review`: plans, and what people decide about them."""

import json
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from backups.models import Recovery
from backups.recovery import approval, begin, break_glass, contents, kinds
from backups.shell import cli, who
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.stored import shown

BEGINNING = ("begin", "resume", "undo")
ACTS = ("list", "show", "approve", "refuse", *BEGINNING, "plan-again", "review")
POLL_SECONDS = 1.0
YES = {"y", "yes", "j", "ja"}


def arguments(acts: Any, epilog: str) -> None:
    helps = {
        "list": _("recoveries, the newest first"),
        "show": _("the plan of one, its approvals, its steps"),
        "approve": _("approve one, as a second person"),
        "refuse": _("refuse one, or withdraw it"),
        "begin": _("begin one that was approved"),
        "resume": _("go on with one that broke off, where it was"),
        "undo": _("put back what was there before one that broke off"),
        "plan-again": _("write the plan of one that broke off down as things are now"),
        "review": _("review a break-glass, as another person"),
    }
    for name in ACTS:
        act: ArgumentParser = acts.add_parser(
            name, help=helps[name], description=helps[name], epilog=epilog,
            formatter_class=RawDescriptionHelpFormatter,
        )  # fmt: skip
        act.add_argument("--json", action="store_true", help=_("print JSON"))
        if name == "list":
            continue
        act.add_argument("number", type=int, help=_("number of the recovery, as list shows it"))
        if name in {"approve", "review", "refuse"}:
            who.arguments(act)
        if name == "approve":
            act.add_argument(
                "--digest", help=_("the digest that you have read, at least its first 16 digits")
            )
        if name in {"refuse", "review"}:
            act.add_argument("--text", help=_("why, or what you have found; asked for if missing"))
        if name in BEGINNING:
            act.add_argument(
                "--identity-file", help=_("an age identity; asked for where there is a terminal")
            )


def run(command: Any, options: dict[str, Any]) -> int:
    """Exit code of the act. Raises OperationFailed, CommandError."""
    if options["act"] == "list":
        return _list(command, options)
    row = Recovery.objects.select_related("copy__set__system").filter(pk=options["number"]).first()
    if row is None:
        raise cli.usage(
            _("There is no recovery %(number)d: manage.py recover list") % {"number": options["number"]}
        )
    acts = {
        "show": _show, "approve": _approve, "refuse": _refuse, "review": _review, "plan-again": _plan_again,
        "begin": _begin, "resume": _begin, "undo": _begin,
    }  # fmt: skip
    return acts[options["act"]](command, row, options)


def _list(command: BaseCommand, options: dict[str, Any]) -> int:
    rows = list(Recovery.objects.select_related("copy__set__system")[:50])
    if options["json"]:
        found = [
            {"number": row.pk, "recovery": str(row), "state": row.state, "by": row.requested_by}
            for row in rows
        ]
        command.stdout.write(json.dumps(found, indent=2))
        return cli.FINE
    for row in rows:
        command.stdout.write(f"{row.pk:>5}  {row.state_shown:<24} {row}  ({row.requested_by})")
    for one in break_glass.unreviewed():
        text = _("Not reviewed yet: the break-glass of recovery %(number)d, by %(name)s.")
        command.stdout.write(command.style.ERROR(text % {"number": one.recovery_id, "name": one.by}))
    return cli.NEEDS_ATTENTION if break_glass.unreviewed().exists() else cli.FINE


def _show(command: BaseCommand, row: Recovery, options: dict[str, Any]) -> int:
    if options["json"]:
        found = {
            "number": row.pk,
            "state": row.state,
            "plan": row.plan,
            "digest": row.digest,
            "steps": row.steps,
        }
        command.stdout.write(json.dumps(found | {"message": row.message, "hint": row.hint}, indent=2))
        return cli.FINE
    write_plan(command.stdout, row)
    for one in row.approvals.all():
        command.stdout.write(f"  {one.get_way_display()}: {one.by}, {one.get_state_display()} {one.reason}")
    for step in row.steps:
        mark = {True: "+", False: "!", None: "?"}[step.get("ok")]
        command.stdout.write(
            f"  {mark} {shown(step['step'])}: {shown(step['target'])} {shown(step['message'])}"
        )
    return cli.FINE


def write_plan(out: OutputWrapper, row: Recovery) -> None:
    """The recovery as somebody reads it who decides about it."""
    moment = row.copy.set.moment
    out.write(f"{row.pk}: {row} ({row.state_shown})")
    out.write(_("  asked for by %(name)s: %(reason)s") % {"name": row.requested_by, "reason": row.reason})
    if moment is not None:
        out.write(_("  what was written in the last %(age)s is lost") % {"age": timesince(moment)})
    for number, line in enumerate(kinds.of(row).describe(row) if row.digest else [], 1):
        out.write(f"  {number}. {line}")
    if row.digest:
        out.write(_("  digest of the plan: %(digest)s") % {"digest": row.digest})


def _approve(command: Any, row: Recovery, options: dict[str, Any]) -> int:
    write_plan(command.stdout, row)
    seen = row.digest
    if options["digest"] and not (len(options["digest"]) >= 16 and row.digest.startswith(options["digest"])):
        raise OperationFailed(
            _("The plan has another digest: %(digest)s") % {"digest": row.digest}, permanent=True
        )
    if not options["digest"] and command.ask(_("Approve exactly this? [y/N] ")).strip().lower() not in YES:
        raise CommandError(_("Nothing was done."), returncode=cli.FAILED)
    user = who.proven(options, command.ask)
    approval.approve(row, user=user, seen=seen, via="shell")
    command.stdout.write(command.style.SUCCESS(_("Approved. Whoever asked can begin it now.")))
    return cli.FINE


def _refuse(command: Any, row: Recovery, options: dict[str, Any]) -> int:
    text = options["text"] or command.ask(_("Why? "))
    user = who.proven(options, command.ask)
    approval.refuse(row, user=user, why=text)
    command.stdout.write(_("It was refused."))
    return cli.FINE


def _review(command: Any, row: Recovery, options: dict[str, Any]) -> int:
    found = break_glass.unreviewed().filter(recovery=row).first()
    if found is None:
        raise OperationFailed(_("There is nothing to review."), permanent=True)
    command.stdout.write(f"{found.by}: {found.reason}")
    text = options["text"] or command.ask(_("What you have found: "))
    break_glass.review(found, user=who.proven(options, command.ask), text=text)
    command.stdout.write(_("It was reviewed."))
    return cli.FINE


def _plan_again(command: Any, row: Recovery, options: dict[str, Any]) -> int:
    found = approval.renew(row, actor=cli.actor())
    row.refresh_from_db()
    write_plan(command.stdout, row)
    command.stdout.write(_("Changed: %(what)s. Another person approves it: manage.py recover approve %(number)d") % {
        "what": contents.in_words(found) or _("nothing"), "number": row.pk})  # fmt: skip
    return cli.NEEDS_ATTENTION


def _begin(command: Any, row: Recovery, options: dict[str, Any]) -> int:
    act = {"begin": Recovery.Act.RUN, "resume": Recovery.Act.RESUME, "undo": Recovery.Act.UNDO}[
        options["act"]
    ]
    if act == Recovery.Act.RESUME:
        command.talk.write(_("What was stopped or saved is not stopped or saved again: nobody may have started the application since."))  # fmt: skip
    one = begin.opened_by(row, act)
    identity = cli.identity_from(options["identity_file"], encrypted=one is not None and one.encrypted)
    with kept_here():
        begun = begin.begin(row, actor=cli.actor(), identity=identity, act=act)
    code: int = command.run(begun, options)
    return code


def cleared(out: OutputWrapper, row: Recovery, user: User | None, options: dict[str, Any]) -> bool:
    """Whether the plan may begin now: by break-glass, or after a second person's word. False: it stays planned.

    Raises OperationFailed when it was refused, or became void.
    """
    if options["break_glass"]:
        break_glass.break_glass(
            row, actor=row.requested_by, user=user, reason=options["break_glass"], via="shell"
        )
        out.write(_("Without a second person: all channels were told, and somebody else has to review it."))
        return True
    out.write(_("Written down as recovery %(number)d, digest %(digest)s.") % {
        "number": row.pk, "digest": contents.fingerprint(row.digest)})  # fmt: skip
    out.write(_("Another person approves it: manage.py recover approve %(number)d, or %(address)s") % {
        "number": row.pk, "address": approval.address_of(row)})  # fmt: skip
    if not approval.approvers(row).exists():
        out.write(_("Nobody else here may approve it: --break-glass REASON is the only way."))
    return not options["no_wait"] and _waited(out, row)


def _waited(out: OutputWrapper, row: Recovery) -> bool:
    out.write(
        _("It waits. Ctrl-C ends the waiting; manage.py recover begin %(number)d goes on.")
        % {"number": row.pk}
    )
    try:
        while row.state == Recovery.State.PLANNED:
            time.sleep(POLL_SECONDS)
            row.refresh_from_db()
            if row.expires_at and approval.undecided(row) and row.state == Recovery.State.PLANNED:
                approval.expire_due()
    except KeyboardInterrupt:
        return False
    if row.state != Recovery.State.APPROVED:
        raise OperationFailed(f"{row.state_shown}: {shown(row.message)}", permanent=True)
    return True
