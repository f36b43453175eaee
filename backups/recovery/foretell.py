"""What a restore over production will do, told before it is done: in order, one sentence each."""

import shlex
from collections.abc import Sequence

from django.utils.translation import gettext as _

from backups.models import Copy, Source
from drcenter.deadline import TooLate, within
from drcenter.errors import OperationFailed
from drcenter.stored import shown
from drcenter.systems import halt
from drcenter.systems.models import System

# How long a server is waited for before a page is shown.
PATIENCE_SECONDS = 5.0


def describe(
    copy: Copy, sources: Sequence[Source], *, skip_safety: bool = False, skip_stop: bool = False
) -> list[str]:
    """What `restore` will do, in order, one sentence each."""
    system = copy.set.system
    lines = [_("Read every part of the copy at %(place)s and check it.") % {"place": copy.destination}]
    lines += _describe_stop(system, skip_stop=skip_stop)
    if skip_safety:
        lines.append(_("NO safety backup, as asked for: there is no way back."))
    else:
        lines.append(_("Back up what is there now, as a safety set, to go back to."))
    lines += [_overwriting(source) for source in sources]
    if copy.set.partial:
        lines.append(
            _("The set holds %(part)s. Only these tables are replaced; the others stay.")
            % {"part": copy.set.partial_shown}
        )
    lines.append(_("Compare with the witness of the set, and count the critical tables."))
    lines += [
        _("Clean up: %(command)s") % {"command": text} for text in as_typed(system.after_restore_command)
    ]
    lines += [
        _("Start the application: %(command)s") % {"command": text}
        for text in as_typed(system.resume_command)
    ]
    if not skip_stop and halt.describe(system):
        lines.append(_("Start what ran before it was stopped."))
    lines.append(
        _("If a step fails: leave the application stopped, and say so.")
        if skip_safety
        else _(
            "If a step fails: put the safety set back and start the application, or leave it stopped and say so."
        )
    )
    return lines


def refusals(copy: Copy, sources: Sequence[Source]) -> list[OperationFailed]:
    """Why servers would refuse to have these overwritten, as far as they say so now; each is asked for some seconds.

    What the set holds besides is encrypted until the restore reads it: that asks again, before anything is stopped.
    Of a set of some tables they are named in it alone, so that only the restore itself can ask.
    """
    found: list[OperationFailed] = []
    for source in () if copy.set.partial else sources:
        try:
            within(source.build().check_may_overwrite, PATIENCE_SECONDS)
        except TooLate:
            continue  # That it does not answer is told where it is looked at.
        except OperationFailed as error:
            found.append(OperationFailed(f"{source.name}: {error.message}", error.hint, permanent=True))
    return found


def _describe_stop(system: System, *, skip_stop: bool) -> list[str]:
    if skip_stop:
        return [_("The stop commands are not run, as asked for: the application has to be stopped already.")]
    ways = [_("Stop the application: %(command)s") % {"command": text} for text in halt.describe(system)]
    if not system.pause_command and not ways:
        return [_("The application is NOT stopped: the system has no stop commands.")]
    return ways + [
        _("Stop the application: %(command)s") % {"command": text} for text in as_typed(system.pause_command)
    ]


def as_typed(commands: Sequence[Sequence[str]]) -> list[str]:
    return [shlex.join(words) for words in commands]


def _overwriting(source: Source) -> str:
    engine = source.build()
    names = {"source": source.name, "target": shown(engine.target), "host": engine.host}
    line = _("Overwrite %(source)s: %(target)s on %(host)s.") % names
    if engine.removes_strangers:
        line += " " + _("What is there and not in the set is removed.")
    return line
