"""Exposure in words: what would be lost, what it would take, and what to do about either."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.exposure import Exposure, Reach
from drcenter.systems.models import System, Target

REACHES = {
    Reach.MET: gettext_lazy("within the target"),
    Reach.MISSED: gettext_lazy("above the target"),
    Reach.UNKNOWN: gettext_lazy("unknown"),
    Reach.UNSET: gettext_lazy("no target"),
    Reach.EMPTY: gettext_lazy("no source"),
}


def class_name(name: str) -> str:
    return str(Target.DataClass(name).label)


def to_do(one: Exposure, system: System) -> list[str]:
    """What to do about a class that is not as it should be, a sentence each; none for a good one."""
    if one.loss_reach == Reach.EMPTY:
        return [_("The system has no source of this class: add one (manage.py protect finds them).")]
    lines = []
    if one.bare:
        lines.append(
            _("Nothing is held of %(sources)s: back it up (manage.py backup run %(system)s --wait).")
            % {"sources": ", ".join(one.bare), "system": system.slug}
        )
    if one.goal.loss is None:
        lines.append(_("Nobody has said how much may be lost, or how long it may take: choose targets."))
    if one.loss_reach == Reach.MISSED and one.worst is not None:
        lines.append(
            _("%(source)s is backed up too rarely, or its last backup failed: look at its plans, or archive its log.")
            % {"source": one.worst.source}
        )  # fmt: skip
    if one.thin:
        lines.append(_("Copies are missing of %(sources)s.") % {"sources": ", ".join(one.thin)})
    if one.unproven:
        lines.append(
            _("Not proven: %(sources)s. The figure believes it.") % {"sources": ", ".join(one.unproven)}
        )
    return [*lines, *_about_time(one, system)]


def _about_time(one: Exposure, system: System) -> list[str]:
    if one.time_reach == Reach.UNKNOWN:
        return [
            _("No drill has ever measured how long it takes: manage.py drill %(system)s.")
            % {"system": system.slug}
        ]
    if one.time_reach == Reach.MISSED:
        return [_("A recovery takes longer than promised: look where the last drill spent its time.")]
    return []


def as_json(one: Exposure, system: System) -> dict[str, Any]:
    """For machines: seconds, and moments in ISO 8601 (docs/api.md). `null`: nobody knows."""
    worst, measured = one.worst, one.measured
    return {
        "class": one.data_class,
        "sources": list(one.sources),
        "ok": good(one),
        "lost_seconds": None if one.lost is None else int(one.lost),
        "lost_since": worst.moment.isoformat() if worst is not None and one.lost is not None else None,
        "worst_source": worst.source if worst else None,
        "nothing_held_of": list(one.bare),
        "set": worst.held.set if worst else None,
        "by_log": worst.by_log if worst else None,
        "rpo_seconds": one.goal.loss,
        "rpo": one.loss_reach.value,
        "takes_seconds": None if one.takes is None else round(one.takes, 1),
        "waited_seconds": round(measured.waited, 1) if measured else None,
        "measured_at": measured.at.isoformat() if measured else None,
        "measured_by": ("drill" if measured.drill else "recovery") if measured else None,
        "rto_seconds": one.goal.time,
        "rto": one.time_reach.value,
        "to_do": to_do(one, system),
    }


def good(one: Exposure) -> bool | None:
    """Whether what was promised for a class holds; None where nothing was promised, or there is nothing of it."""
    if one.goal.loss is None and one.goal.time is None:
        return None
    if Reach.EMPTY in (one.loss_reach, one.time_reach):
        return None
    return one.loss_reach == one.time_reach == Reach.MET


def line(told: Mapping[str, Any], slug: str) -> str:
    """One class on a shell, from what `as_json` told."""
    lost, takes = told["lost_seconds"], told["takes_seconds"]
    text = _("%(system)s: %(class)s: would lose %(lost)s (at most %(rpo)s), would take %(takes)s (at most %(rto)s)") % {
        "system": slug, "class": class_name(told["class"]),
        "lost": _("everything") if lost is None else f"{lost} s", "rpo": _seconds(told["rpo_seconds"]),
        "takes": _("nobody knows how long") if takes is None else f"{takes} s", "rto": _seconds(told["rto_seconds"]),
    }  # fmt: skip
    return " ".join([("OK  " if told["ok"] else "ATTN") + " " + text, *told["to_do"]])


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} s"
