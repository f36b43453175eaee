"""Exposure on pages: what would be lost now, and how long it would take, for each class beside its target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from backups.exposure import Exposure, Reach
from backups.exposure_words import REACHES, class_name, good, to_do
from drcenter.panel import words
from drcenter.panel.look import Button, Link, Notice, Table, Tone, Verdict
from drcenter.panel.pages import address
from drcenter.permissions import may
from drcenter.systems.models import System

CHANGE_TARGETS = "systems.change_target"
TONES = {
    Reach.MET: (Tone.GOOD, "check_circle"),
    Reach.MISSED: (Tone.BAD, "error"),
    Reach.UNKNOWN: (Tone.BAD, "help"),
    Reach.UNSET: (Tone.WARN, "flag"),
    Reach.EMPTY: (Tone.IDLE, "block"),
}
# drcenter/static/drcenter/counting.js lets the seconds go on by themselves.
COUNTING = '{} (<span data-drc-seconds="{}">{}</span> s)'

FEW = '<span data-drc-seconds="{}">{}</span> s'


@dataclass(frozen=True)
class Row:
    """One class, as the template of the overview shows it."""

    name: str
    lost: Any
    lost_verdict: Verdict
    takes: Any
    takes_verdict: Verdict


def rows(found: Sequence[Exposure]) -> list[Row]:
    """The classes for which something was promised."""
    return [
        Row(class_name(one.data_class), lost(one), reach(one.loss_reach), takes(one), reach(one.time_reach))
        for one in found
        if promised(one)
    ]


def promised(one: Exposure) -> bool:
    return one.goal.loss is not None or one.goal.time is not None


def reach(value: Reach) -> Verdict:
    tone, icon = TONES[value]
    return Verdict(str(REACHES[value]), tone, icon)


def lost(one: Exposure) -> SafeString | str:
    """How much would be lost now, counting up."""
    if one.loss_reach == Reach.EMPTY:
        return words.NOTHING
    if one.lost is None:
        return _("everything")
    seconds = int(one.lost)
    if seconds < 60:
        return format_html(FEW, seconds, seconds)
    return format_html(
        COUNTING, words.duration(seconds), seconds, number_format(seconds, force_grouping=True)
    )


def takes(one: Exposure) -> str:
    """How long a recovery would take, and how long people were waited for, apart."""
    if one.takes is None or one.measured is None:
        return _("nobody knows")
    text = words.about(one.takes)
    if one.measured.waited < 1:
        return text
    waited = words.duration(one.measured.waited)
    return _("%(time)s, and %(waited)s of waiting") % {"time": text, "waited": waited}


def table(found: Sequence[Exposure], system: System) -> Table:
    """Every class, with what to do about it."""
    lines = [
        [
            class_name(one.data_class), lost(one), _against(one.loss_reach, one.goal.loss),
            takes(one), _against(one.time_reach, one.goal.time), " ".join(to_do(one, system)),
        ]
        for one in found
    ]  # fmt: skip
    columns = [
        _("class"), _("if it died now, would be lost"), _("RPO"), _("a recovery would take"), _("RTO"),
        _("what to do"),
    ]  # fmt: skip
    return Table(_("exposure, now"), columns, lines)


def _against(value: Reach, target: float | None) -> Verdict:
    """The target in the tone of how it is kept; a word where that is not known."""
    verdict = reach(value)
    if target is None or value not in {Reach.MET, Reach.MISSED}:
        return verdict
    return Verdict(words.duration(target), verdict.tone, verdict.icon)


def _target(seconds: float | None) -> str:
    return words.duration(seconds)


def notices(found: Sequence[Exposure], system: System) -> Iterator[Notice]:
    """What was promised and does not hold, with what to do."""
    for one in found:
        if promised(one) and good(one) is False:
            yield Notice(_sentence(one, system), " ".join(to_do(one, system)), link=_link(system))


def _sentence(one: Exposure, system: System) -> str:
    names = {"system": system.name, "class": class_name(one.data_class)}
    if one.lost is None:
        return _("%(system)s, %(class)s: if it died now, everything would be lost.") % names
    if one.loss_reach == Reach.MISSED:
        figures = {"time": words.duration(one.lost), "target": _target(one.goal.loss)}
        return (
            _("%(system)s, %(class)s: if it died now, %(time)s would be lost; at most %(target)s were promised.")
            % {**names, **figures}
        )  # fmt: skip
    if one.takes is None:
        return _("%(system)s, %(class)s: nobody knows how long a recovery would take.") % names
    figures = {"time": words.duration(one.takes), "target": _target(one.goal.time)}
    return (
        _("%(system)s, %(class)s: a recovery would take %(time)s; at most %(target)s were promised.")
        % {**names, **figures}
    )  # fmt: skip


def _link(system: System) -> Link:
    return Link(system.name, address(system))


def targets_button(request: HttpRequest, system: System) -> list[Button]:
    if not may(request, CHANGE_TARGETS):
        return []
    return [Button(_("Choose targets"), address(system, "targets"), "flag")]
