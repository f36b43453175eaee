"""What the pages of a recovery into production say of its plan, its approvals, and what can be done now."""

from collections.abc import Sequence
from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from backups.models import Approval, Recovery
from backups.recovery import approval, break_glass, contents, kinds
from drcenter import permissions
from drcenter.errors import OperationFailed
from drcenter.panel import words
from drcenter.panel.look import Button, Fact, Link, Notice, Table, Tone, Verdict
from drcenter.panel.pages import address
from drcenter.permissions import may
from drcenter.stored import shown

PLANNED = (Recovery.State.PLANNED, Recovery.State.APPROVED)


def about(row: Recovery) -> list[Fact]:
    """What, where, from when, who, why: the first things that somebody who approves has to read."""
    one = row.copy.set
    hosts = sorted({str(source["host"]) for source in row.plan.get("sources", {}).values()})
    targets = [f"{name}: {shown(source['target'])}" for name, source in row.plan.get("sources", {}).items()]
    facts = [
        Fact(_("system"), one.system.name),
        Fact(_("host"), ", ".join(hosts), code=True),
        Fact(_("what is overwritten"), "; ".join(targets), code=True),
        Fact(_("set"), Link(str(one), address(one))),
        Fact(_("data of"), words.when_and_ago(one.moment)),
        Fact(_("asked for by"), row.requested_by),
        Fact(_("asked for at"), words.when_and_ago(row.created_at)),
        Fact(_("reason"), row.reason),
        Fact(_("digest of the plan"), contents.fingerprint(row.digest), code=True),
        Fact(_("in full"), row.digest, code=True),
    ]
    return [fact for fact in facts if fact.value not in (None, "", words.NOTHING)]


def described(row: Recovery) -> list[str]:
    try:
        return kinds.of(row).describe(row)
    except OperationFailed as error:
        return [str(error)]


def lost_notice(row: Recovery) -> list[Notice]:
    moment = row.copy.set.moment
    if moment is None or not kinds.of(row).rewinds:
        return []
    return [
        Notice(
            _("What was written after %(moment)s (%(ago)s) is lost.")
            % {
                "moment": date_format(timezone.localtime(moment), "DATETIME_FORMAT"),
                "ago": words.ago(moment),
            },
            _("The safety backup is the only way back to it.")
            if not row.skip_safety
            else _("There is NO safety backup: nothing leads back to it."),
            Tone.WARN,
        )
    ]


def notices(row: Recovery) -> list[Notice]:
    """How a plan stands, and what waits to be reviewed."""
    found = [
        Notice(
            _("Broken glass: nobody has reviewed it yet."),
            f"{one.by}: {one.reason}",
            link=Link(_("Review"), address(row, "review")),
        )
        for one in break_glass.unreviewed().filter(recovery=row)
    ]
    held = approval.granted(row)
    if row.state in approval.BROKEN_OFF and row.digest and not (held and held.holds(timezone.now())):
        found.append(
            Notice(
                _("To resume or to undo it, it has to be approved once more."),
                _("The time of the approval is over, or the plan was made again."),
                Tone.WARN,
            )
        )
    if row.state == Recovery.State.PLANNED and row.requested_user_id is None:
        found.append(
            Notice(_("Nobody can approve it: who asked is known to the shell alone."), tone=Tone.WARN)
        )
    elif row.state == Recovery.State.PLANNED and not approval.approvers(row).exists():
        found.append(
            Notice(
                _("Nobody else here may approve it."),
                _(
                    "Give another user the role “Approver of recoveries”; until then break-glass is the only way."
                ),
                Tone.WARN,
            )
        )
    return found


def buttons(request: HttpRequest, row: Recovery) -> list[Button]:
    """What this person could do now. Who may, and whether it is still possible, is asked again by each page."""
    found = []
    mine = approval.is_requester(row, cast(User, request.user))
    open_now = not approval.undecided(row)
    if (
        open_now
        and may(request, permissions.APPROVE_RECOVERY)
        and not approval.is_requester(row, cast(User, request.user))
    ):  # type: ignore[arg-type]
        found.append(Button(_("Approve"), address(row, "approve"), "how_to_reg", "primary"))
    found += _beginning(request, row)
    if open_now and may(request, permissions.BREAK_GLASS):
        found.append(Button(_("Break-glass"), address(row, "break_glass"), "emergency_home", "risky"))
    if row.state in PLANNED and (may(request, permissions.APPROVE_RECOVERY) or mine):
        found.append(Button(_("Refuse"), address(row, "refuse"), "block"))
    return found


def _beginning(request: HttpRequest, row: Recovery) -> list[Button]:
    held = approval.granted(row)
    if may(request, permissions.RESTORE_PRODUCTION) and row.state in approval.BROKEN_OFF and row.digest:
        return [
            Button(_("Resume"), address(row, "resume"), "resume", "primary"),
            Button(_("Undo"), address(row, "undo"), "undo", "risky"),
            *(
                [Button(_("Plan again"), address(row, "plan_again"), "edit_note")]
                if approval.what_changed(row)
                else []
            ),
        ]
    if not may(request, permissions.RESTORE_PRODUCTION) or held is None or not held.holds(timezone.now()):
        return []
    if row.state == Recovery.State.APPROVED:
        return [
            Button(_("Overwrite production now"), address(row, "begin"), "settings_backup_restore", "risky")
        ]
    return []


def approvals_table(row: Recovery) -> list[Table]:
    rows = [
        [
            one.get_way_display(), one.by, words.when(one.at), _standing(one),
            contents.fingerprint(one.digest), one.reason,
            f"{one.reviewed_by}: {one.review}" if one.reviewed_at else "",
        ]
        for one in row.approvals.all()
    ]  # fmt: skip
    columns = [_("way"), _("by"), _("at"), _("standing"), _("digest"), _("reason"), _("review")]
    return [Table(_("approvals"), columns, rows)] if rows else []


def _standing(one: Approval) -> Verdict:
    if one.holds(timezone.now()):
        return Verdict(
            _("holds until %(time)s")
            % {"time": date_format(timezone.localtime(one.expires_at), "TIME_FORMAT")},
            Tone.GOOD,
            "check",
        )
    if one.state == Approval.State.GRANTED or one.used_at is not None:
        return Verdict(_("used") if one.used_at else _("run out"), Tone.IDLE, "history")
    return Verdict(one.get_state_display(), Tone.IDLE, "block")


def steps_table(row: Recovery) -> list[Table]:
    """What will happen, while it has not."""
    if row.state not in PLANNED:
        return []
    lines: Sequence[str] = described(row)
    return [Table(_("what will happen"), ["", ""], [[number, line] for number, line in enumerate(lines, 1)])]
