"""States and levels in words, colours and icons: the same on every page."""

from dataclasses import replace
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from backups.models import Canary, Copy, Level, Lock, Recovery, Set, Verification
from drcenter.jobs.admin import stopped, waiting
from drcenter.panel.look import Tone, Verdict
from drcenter.stored import shown

LEVELS = {
    Level.PROVEN: (
        Tone.GOOD,
        "verified",
        gettext_noop("Restored into a scratch place, and compared with the original."),
    ),
    Level.INTACT: (
        Tone.FAIR,
        "task_alt",
        gettext_noop("Read back, decrypted and decoded, but not restored yet."),
    ),
    Level.STORED: (
        Tone.WARN,
        "inventory_2",
        gettext_noop("At its destination with the right digest, but not read back yet."),
    ),
}
SETS = {
    Set.State.WAITING: (Tone.IDLE, "schedule", gettext_noop("It waits for a worker.")),
    Set.State.RUNNING: (Tone.BUSY, "progress_activity", gettext_noop("The backup is being taken.")),
    Set.State.FAILED: (Tone.BAD, "error", gettext_noop("There is no set: nothing of this try counts.")),
    Set.State.CANCELLED: (Tone.IDLE, "stop_circle", gettext_noop("There is no set: it was stopped.")),
    Set.State.LOST: (Tone.BAD, "heart_broken", gettext_noop("There is no set: its worker died.")),
    Set.State.REMOVED: (Tone.IDLE, "auto_delete", gettext_noop("Retention has let it go: no copy is left.")),
}
COPIES = {
    Copy.State.WAITING: (Tone.WARN, "schedule"),
    Copy.State.WRITING: (Tone.BUSY, "upload"),
    Copy.State.COMPLETE: (Tone.GOOD, "check_circle"),
    Copy.State.FAILED: (Tone.BAD, "error"),
    Copy.State.DAMAGED: (Tone.BAD, "broken_image"),
    Copy.State.REMOVING: (Tone.BUSY, "auto_delete"),
    Copy.State.REMOVED: (Tone.IDLE, "auto_delete"),
}
VERIFICATIONS = {
    Verification.State.WAITING: (Tone.IDLE, "schedule", gettext_noop("It waits for a worker.")),
    Verification.State.RUNNING: (Tone.BUSY, "progress_activity", gettext_noop("The copy is being verified.")),
    Verification.State.PASSED: (Tone.GOOD, "verified", gettext_noop("The copy is what it was when taken.")),
    Verification.State.UNDECIDED: (
        Tone.WARN,
        "help",
        gettext_noop("Nothing is wrong, but the level asked for could not be decided."),
    ),
    Verification.State.DAMAGED: (
        Tone.BAD,
        "broken_image",
        gettext_noop("The copy is not what was taken. Do not rely on it."),
    ),
    Verification.State.FAILED: (Tone.BAD, "error", gettext_noop("The check did not come to an end.")),
}
RECOVERIES = {
    Recovery.State.PLANNED: (Tone.WARN, "hourglass_top", gettext_noop("A second person has to approve it.")),
    Recovery.State.APPROVED: (Tone.FAIR, "how_to_reg", gettext_noop("It may begin.")),
    Recovery.State.VOID: (Tone.IDLE, "timer_off", gettext_noop("It never ran, and cannot any more.")),
    Recovery.State.REFUSED: (Tone.IDLE, "block", gettext_noop("It never ran, and cannot any more.")),
    Recovery.State.WAITING: (Tone.IDLE, "schedule", gettext_noop("It waits for a worker.")),
    Recovery.State.RUNNING: (Tone.BUSY, "progress_activity", gettext_noop("The restore is running.")),
    Recovery.State.SUCCEEDED: (Tone.GOOD, "check_circle", gettext_noop("The data are back.")),
    Recovery.State.FAILED: (Tone.BAD, "error", gettext_noop("The restore did not go through.")),
    Recovery.State.ROLLED_BACK: (
        Tone.WARN,
        "undo",
        gettext_noop("The restore failed; what was there before is back, and the application runs."),
    ),
    Recovery.State.DOWN: (
        Tone.BAD,
        "dangerous",
        gettext_noop("The application is stopped: neither the restore nor the way back went through."),
    ),
    Recovery.State.CANCELLED: (Tone.IDLE, "stop_circle", gettext_noop("It was stopped.")),
    Recovery.State.LOST: (Tone.BAD, "heart_broken", gettext_noop("Its worker died.")),
}


def level_verdict(level: str) -> Verdict:
    if not level:
        return Verdict(_("not verified"), Tone.IDLE, "help")
    tone, icon, sentence = LEVELS[Level(level)]
    return Verdict(str(Level(level).label), tone, icon, _(sentence))


def set_verdict(row: Set) -> Verdict:
    """A complete set is as good as its level; one whose dump lacks something is bad whatever it says."""
    if row.state != Set.State.COMPLETE:
        tone, icon, sentence = SETS[Set.State(row.state)]
        return Verdict(row.get_state_display(), tone, icon, waiting(row.job) or _(sentence))
    if row.capped:
        return Verdict(
            _("incomplete"), Tone.BAD, "report",
            shown(row.level_reason) or _("The dump lacks something that the source has."),
        )  # fmt: skip
    verdict = level_verdict(row.level)
    sentence = " ".join(part for part in (verdict.sentence, shown(row.level_reason)) if part)
    return Verdict(verdict.word, verdict.tone, verdict.icon, sentence)


def copy_verdict(row: Copy) -> Verdict:
    if row.state == Copy.State.COMPLETE and row.level:
        verdict = level_verdict(row.level)
        return (
            replace(verdict, tone=Tone.WARN, icon="warning", sentence=spoiled(row))
            if row.spoiled
            else verdict
        )
    tone, icon = COPIES[Copy.State(row.state)]
    return Verdict(row.get_state_display(), tone, icon, shown(row.message))


def spoiled(row: Copy) -> str:
    """What is damaged beside the data of the copy, in a sentence; "" if nothing is known to be."""
    if not row.spoiled or row.state != Copy.State.COMPLETE:
        return ""
    return _("The data are good, but damaged or missing beside them: %(names)s.") % {
        "names": ", ".join(row.spoiled)
    }


def lock_verdict(row: Copy, now: datetime) -> Verdict | None:
    """Whether the copy is locked, by what the store said; None where nothing has to be."""
    lock: Lock | None = getattr(row, "lock", None)
    if lock is None:
        wanted = row.destination.lock_days and row.state == Copy.State.COMPLETE
        return Verdict(_("not locked yet"), Tone.WARN, "lock_clock") if wanted else None
    if lock.holds(now):
        return Verdict(_until(lock), Tone.GOOD, "lock", _("As it was read back from the store."))
    if lock.state == Lock.State.HELD:
        return Verdict(_("lock has ended"), Tone.IDLE, "lock_open", _until(lock))
    tone = Tone.BAD if lock.state == Lock.State.NOT_HELD else Tone.WARN
    return Verdict(lock.get_state_display(), tone, "lock_open", shown(lock.message))


def _until(lock: Lock) -> str:
    day = date_format(timezone.localtime(lock.until), "DATE_FORMAT") if lock.until else ""
    return _("%(mode)s until %(day)s") % {"mode": lock.mode, "day": day}


def canary_verdict(canary: Canary) -> Verdict:
    tone, icon = {
        Canary.State.REFUSED: (Tone.GOOD, "verified_user"),
        Canary.State.DELETED: (Tone.BAD, "gpp_bad"),
        Canary.State.UNKNOWN: (Tone.WARN, "gpp_maybe"),
        Canary.State.ASKED: (Tone.IDLE, "shield"),
    }[Canary.State(canary.state)]
    return Verdict(canary.get_state_display(), tone, icon, shown(canary.message))


def verification_verdict(row: Verification) -> Verdict:
    tone, icon, sentence = VERIFICATIONS[Verification.State(row.state)]
    if row.state == Verification.State.PASSED and row.reached:
        return level_verdict(row.reached)
    if row.state == Verification.State.FAILED and stopped(row):
        return Verdict(
            _("cancelled"), Tone.IDLE, "stop_circle", _("It was stopped: nothing is known from it.")
        )
    return Verdict(row.get_state_display(), tone, icon, waiting(row.job) or _(sentence))


def recovery_verdict(row: Recovery) -> Verdict:
    tone, icon, sentence = RECOVERIES[Recovery.State(row.state)]
    if row.state == Recovery.State.DOWN and row.never_stopped:
        sentence = gettext_noop(
            "Neither the restore nor the way back went through. The application was not stopped by us."
        )
    return Verdict(row.state_shown, tone, icon, waiting(row.job) or _(sentence))
