"""The rehearsal itself: every source of a set restored into a scratch place, compared, checked, measured, removed."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.drill_checks.base import Answer, Scene
from backups.drills import latest
from backups.engines.base import Engine
from backups.leftovers import held_directory
from backups.models import DrillCheck
from backups.recovery import restore
from backups.recovery.recovering import Recovering
from backups.recovery.scratch import Opened, restored_scratch
from backups.witness import Witness, differences
from drcenter.errors import OperationFailed
from drcenter.secrets import redact
from drcenter.stored import in_english


class NotGood(OperationFailed):
    """The drill was held, and what was restored is not what the system needs."""


@dataclass
class Result:
    """What a rehearsal has found so far; the fields of the same names of the drill's row."""

    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    reservations: list[str] = field(default_factory=list)
    # Seconds until the system would have been back; None: it did not get so far.
    machine_seconds: float | None = None


def rehearse(recovering: Recovering, result: Result, before: Mapping[str, Mapping[str, int]]) -> None:
    """Restore, compare, check, measure, remove. `recovering` has its identities; `before`: rows in the last good drill.

    Raises NotGood for what is wrong with what was restored, other OperationFailed for what could not be done.
    """
    began = time.monotonic()
    with recovering.step(_("read and check every part"), recovering.recovery.copy.destination.name):
        restore.check_parts(recovering)
    with ExitStack() as stack:
        places = {
            name: stack.enter_context(_restored(recovering, result, name))
            for name in _rehearsed(recovering, result)
        }
        workspace = stack.enter_context(held_directory(Path(settings.STATE_DIR) / "scratch", "proof-"))
        # What was brought on by the log is not what the set says any more; it was compared before.
        held = {
            name: Witness() if result.sources[name]["by_log"] else _expected(recovering, name)
            for name in places
        }
        originals = {name: _original(recovering, name) for name in places}
        scene = Scene(places, held, workspace, before, originals, recovering.context.children)
        for check in DrillCheck.objects.filter(system=recovering.set.system, enabled=True).order_by("pk"):
            _check(recovering, result, check, scene)
        result.machine_seconds = round(time.monotonic() - began, 2)
        recovering.context.phase(_("remove the scratch places"))
    _judge(recovering, result)


def _rehearsed(recovering: Recovering, result: Result) -> Iterator[str]:
    """The sources of the set that can be restored without touching an original; why not, of the others."""
    for source, _parts in recovering.sources():
        engine = source.build()
        if engine.for_reading or not engine.provable:
            why = engine.for_reading or _("what the command that restores it does is known to it alone.")
            result.reservations.append(f"{source.name}: {_('not rehearsed')}: {why}")
        else:
            yield source.name


@contextmanager
def _restored(recovering: Recovering, result: Result, name: str) -> Iterator[Engine]:
    """The source in its scratch place, compared with what it held."""
    copy = Opened(recovering.recovery.copy, recovering.readable, recovering.details)
    with ExitStack() as stack:
        began = time.monotonic()
        with recovering.step(_("restore"), name):
            place = stack.enter_context(restored_scratch(recovering.context, copy, name))
        restored = time.monotonic()
        with recovering.step(_("compare"), name):
            recovering.note_differences(name, differences(_expected(recovering, name), place.witness()))
        compared = time.monotonic()
        moment, by_log = _brought_on(recovering, name, place)
        _count(recovering, result, name, place)
        result.sources[name] = {
            "engine": recovering.details["sources"][name]["engine"],
            "restore_seconds": round(restored - began, 2),
            "compare_seconds": round(compared - restored, 2),
            "replay_seconds": round(time.monotonic() - compared, 2) if by_log else 0.0,
            "moment": moment.isoformat(),
            "by_log": by_log,
        }
        result.reservations += [f"{name}: {one}" for one in place.reservations]
        yield place


def _brought_on(recovering: Recovering, name: str, place: Engine) -> tuple[datetime, bool]:
    """Replay the stored log of the source, if there is one: everything committed before the moment is there then."""
    own = moment_of(recovering, name)
    source = next(one for one, _parts in recovering.sources() if one.name == name)
    on_to = latest.way(recovering.set, source, place)
    if on_to is None or on_to.moment <= own:
        return own, False
    with recovering.step(_("replay the log"), f"{name}: {on_to.plan.base.position} – {on_to.plan.stop}"):
        count = latest.bring_on(recovering.context, place, on_to, recovering.identities)
    recovering.context.log(f"{name}: {count} transactions")
    return on_to.moment, True


def moment_of(recovering: Recovering, name: str) -> datetime:
    """Everything that the source had committed before it was restored."""
    return datetime.fromisoformat(recovering.details["sources"][name]["moment"])


def _original(recovering: Recovering, name: str) -> str:
    return str(recovering.details["sources"][name]["options"].get("path") or "")


def _expected(recovering: Recovering, name: str) -> Witness:
    return Witness.from_json(recovering.details["sources"][name]["witness"])


def _count(recovering: Recovering, result: Result, name: str, place: Engine) -> None:
    """Rows of the critical tables, as after every restore."""
    source = next(one for one, _parts in recovering.sources() if one.name == name)
    if counted := recovering.count(source, place):
        result.counts[name] = counted


def _check(recovering: Recovering, result: Result, check: DrillCheck, scene: Scene) -> None:
    """Run one check, and keep what it said. That it cannot run is as bad as that it does not hold."""
    began, answer = time.monotonic(), Answer(False, "")
    with in_english():
        try:
            with recovering.step(_("check"), check.name):
                answer = check.build().run(scene)
                if not answer.ok:
                    raise NotGood(answer.message)
        except NotGood:
            pass  # The step has it, and so has the answer.
        except (OperationFailed, OSError, ValueError, KeyError) as error:
            recovering.context.check()
            answer = Answer(False, _("It could not run: %(why)s") % {"why": error})
        line = {
            "check": check.name, "kind": check.kind, "ok": answer.ok, "message": redact(answer.message),
            "asked": redact(_asked(check)), "seconds": round(time.monotonic() - began, 2),
        }  # fmt: skip
    result.checks.append(line)
    for source, counted in answer.counts.items():
        result.counts[source] = {**result.counts.get(source, {}), **counted}


def _asked(check: DrillCheck) -> str:
    try:
        return check.build().told
    except (KeyError, TypeError) as error:
        return f"{check.kind}: {error}"


def _judge(recovering: Recovering, result: Result) -> None:
    """Raises NotGood unless everything is equal, and every check holds."""
    found = recovering.recovery.differences
    if found:
        raise NotGood(
            ngettext("%(count)d difference: %(first)s", "%(count)d differences: %(first)s", len(found))
            % {"count": len(found), "first": found[0]},
            _("What was restored is not what the source held: take a new set, and hold the drill again."),
            permanent=True,
        )
    if bad := [one for one in result.checks if not one["ok"]]:
        names = "; ".join(f"{one['check']}: {one['message']}" for one in bad)
        raise NotGood(
            _("Checks that do not hold: %(names)s") % {"names": names},
            _("The bytes are those that were stored; what they say is not what the system needs. Look at the source,"
              " and at the sets before this one."),
            permanent=True,
        )  # fmt: skip
