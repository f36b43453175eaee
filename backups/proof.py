"""Proves a set: restores it into scratch places, and compares the witness of each with the source's own."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import engines
from backups.engines.base import NoScratch
from backups.models import Copy, Level, Part, Set, Verification
from backups.models.level import at_least
from backups.placing import by_source, place_source
from backups.readback import ReadableCopy
from backups.witness import Witness, differences
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext

# Rows hold the first differences; there may be one for each of a million files.
SHOWN = 200


@dataclass
class Outcome:
    """`undecided`: why a source could not be compared at all. `differences`: what is not equal. `facts`: figures."""

    undecided: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        return not self.undecided and not self.differences


def prove(
    context: JobContext, copy: ReadableCopy, details: Mapping[str, Any], parts: Sequence[Part]
) -> Outcome:
    """Restore every source of the set into a scratch place and compare. Raises Cancelled, and nothing else
    for what a set or this machine can be at fault for: that is in the outcome."""
    outcome = Outcome()
    for name, its_parts in by_source(parts).items():
        try:
            _prove_source(context, copy, its_parts, details["sources"][name], outcome)
        except NoScratch as reason:
            outcome.undecided.append(f"{name}: {reason}")
        except OperationFailed as error:
            context.check()
            outcome.differences.append(f"{name}: {error}")
    return outcome


def _prove_source(
    context: JobContext,
    copy: ReadableCopy,
    parts: Sequence[Part],
    detail: Mapping[str, Any],
    outcome: Outcome,
) -> None:
    name = parts[0].source_name
    expected = Witness.from_json(detail["witness"])
    engine = engines.build(detail["engine"], detail["options"])
    with _workspace() as workspace, engine.scratch(workspace, detail["facts"]) as place:
        began = time.monotonic()
        place.prepare(overwrite=False)
        place_source(context, copy, parts, place, expected)
        restored = time.monotonic()
        context.phase(_("comparing"), name)
        found = differences(expected, place.witness())
        outcome.facts[name] = {
            "restore_seconds": round(restored - began, 2),
            "compare_seconds": round(time.monotonic() - restored, 2),
            "objects": len(expected.objects),
            "contents": len(expected.contents),
            "ignored": dict(list(expected.ignored.items())[:SHOWN]),
        }
    outcome.differences += [f"{name}: {difference}" for difference in found]


@contextmanager
def _workspace() -> Iterator[Path]:
    """An empty directory of mode 0700 that is gone afterwards."""
    base = Path(settings.STATE_DIR) / "scratch"
    base.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="proof-", dir=base, ignore_cleanup_errors=True) as path:
        yield Path(path)


def conclude(verification: Verification, outcome: Outcome, *, capped: bool) -> None:
    """Write the outcome to the verification, its copy and its set, in one transaction."""
    passed = outcome.proven and not capped
    verification.facts, verification.differences = outcome.facts, outcome.differences[:SHOWN]
    verification.finished_at = timezone.now()
    if outcome.differences:
        verification.state, verification.reached = Verification.State.DAMAGED, Level.INTACT
        verification.message = _("%(count)d differences: %(first)s") % {
            "count": len(outcome.differences), "first": outcome.differences[0],
        }  # fmt: skip
    elif outcome.undecided:
        verification.state, verification.reached = Verification.State.UNDECIDED, Level.INTACT
        verification.message = " ".join(outcome.undecided)
    else:
        verification.state = Verification.State.PASSED if passed else Verification.State.UNDECIDED
        verification.reached = Level.PROVEN if passed else Level.STORED
        verification.message = "" if passed else _("What was dumped is proven, but the dump is incomplete.")
    with transaction.atomic():
        verification.save()
        _raise_level(verification, capped=capped or bool(outcome.differences))
        record(
            verification.requested_by, "backups.verify.concluded", verification, reached=verification.reached
        )


def _raise_level(verification: Verification, *, capped: bool) -> None:
    """Copy and set are as good as the best that was shown, unless a difference or a cap says otherwise."""
    copy = Copy.objects.select_for_update().get(pk=verification.copy_id)
    one = Set.objects.select_for_update().get(pk=copy.set_id)
    copy.verified_at = verification.finished_at
    if capped:
        copy.level = one.level = Level.STORED if one.capped else Level.INTACT
        one.level_reason = one.level_reason or verification.message
        one.capped = True
    elif at_least(verification.reached, copy.level):
        copy.level = verification.reached
        if at_least(verification.reached, one.level):
            one.level = verification.reached
        one.level_reason = "" if one.level == Level.PROVEN else verification.message
    copy.save(update_fields=["level", "verified_at"])
    one.save(update_fields=["level", "level_reason", "capped"])
