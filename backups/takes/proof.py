"""Proves a set: restores it into scratch places, and compares the witness of each with the source's own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups import engines
from backups.engines.base import NoScratch
from backups.models import Copy, Level, Part, Set, Verification
from backups.models.level import at_least
from backups.recovery.placing import by_source, place_source
from backups.recovery.scratch import scratch_place
from backups.storage.readback import ReadableCopy
from backups.storage.references import owner_of, refer
from backups.takes import chains, sharing
from backups.takes.judging import DoesNotRestore, judged
from backups.witness import Witness, differences, limited
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.secrets import redact

# Rows hold the first differences; there may be one for each of a million files.
SHOWN = 200


@dataclass
class Outcome:
    """`undecided`: why a source could not be compared at all. `differences`: what is not equal. `facts`: figures.

    `notes`: what exactly was shown, of sources that were not restored as a whole.
    """

    undecided: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        return not self.undecided and not self.differences


def prove(
    context: JobContext, copy: ReadableCopy, details: Mapping[str, Any], parts: Sequence[Part]
) -> Outcome:
    """Restore every source of the set into a scratch place and compare. Raises Cancelled, and nothing else
    for what a set or this machine can be at fault for: that is in the outcome.

    A difference is what is wrong with the set: it does not restore, or not to what the source held. What
    stands in the way on this machine (no server, or one that went away, no room, a store that is away)
    leaves it undecided.
    """
    outcome = Outcome()
    for name, its_parts in by_source(parts).items():
        try:
            _prove_source(context, copy, its_parts, details, outcome)
        except DoesNotRestore as error:
            context.check()
            outcome.differences.append(redact(f"{name}: {error}"))
        except OperationFailed as reason:
            context.check()
            outcome.undecided.append(redact(f"{name}: {reason}"))
        except OSError as error:
            context.check()
            outcome.undecided.append(redact(f"{name}: {error.strerror or error}"))
    return outcome


def _prove_source(
    context: JobContext,
    copy: ReadableCopy,
    parts: Sequence[Part],
    details: Mapping[str, Any],
    outcome: Outcome,
) -> None:
    name = parts[0].source_name
    detail = details.get("sources", {}).get(name)
    if detail is None:
        raise DoesNotRestore("The details of the set do not know this source.", permanent=True)
    expected = Witness.from_json(detail["witness"])
    if not detail.get("whole") and "since" not in detail and any(owner_of(part.key) for part in parts):
        outcome.notes.append(_proven_before(parts, expected))
        return
    engine, facts = engines.build(detail["engine"], detail["options"]), detail["facts"]
    # Right after it was taken an increment is restored alone: the sets before it cannot be read here.
    since = detail.get("since")
    if since:
        parts = [part for part in parts if not owner_of(part.key)]
        facts = facts | {"size": sum(part.plain_size for part in parts), "entries": len(expected.contents)}
    with scratch_place(engine, facts) as place:
        began = time.monotonic()
        with judged(place):
            place_source(context, copy, parts, place, None if since else expected)
            restored = time.monotonic()
            context.phase(_("comparing"), name)
            held = place.witness()
            found = differences(expected, limited(held, expected) if since else held)
        outcome.differences += [redact(f"{name}: {difference}") for difference in found]
        outcome.facts[name] = {
            "restore_seconds": round(restored - began, 2),
            "compare_seconds": round(time.monotonic() - restored, 2),
            "objects": len(expected.objects),
            "contents": len(expected.contents),
            "ignored": dict(list(expected.ignored.items())[:SHOWN]),
            "reservations": list(place.reservations),
        }
    if since:
        outcome.facts[name]["since"] = since["set"]
        outcome.notes.append(_proven_so_far(parts[0].set, name, since["set"], len(expected.contents)))


def _proven_before(parts: Sequence[Part], witness: Witness) -> str:
    """Right after it was taken: what an earlier set shows of a source whose dump is the same, in a sentence.

    Raises NoScratch when that set is not proven, or its source held something else that the dump does not tell.
    """
    one, name = parts[0].set, parts[0].source_name
    keys = {part.key for part in parts}
    for earlier in Set.objects.complete().filter(needed_by=one).order_by("-started_at"):
        its = earlier.parts.filter(source_name=name)
        same = {refer(earlier.identifier, part.key) for part in its} == keys
        if (
            same
            and earlier.witnesses.get(name) == sharing.digest(witness)
            and earlier.best_level() == Level.PROVEN
        ):
            return _(
                "%(name)s: the dump is byte for byte that of %(set)s, which is proven, and the source held the same."
            ) % {"name": name, "set": earlier}
    raise NoScratch(
        _("Parts of it are those of earlier sets, which cannot be read here."),
        _("Verify with an identity: then it is restored."),
    )


def _proven_so_far(one: Set, name: str, earlier: str, count: int) -> str:
    """What the proof of an increment shows, in a sentence. Raises NoScratch when what it builds on is not proven."""
    base = Set.objects.filter(system=one.system, identifier=earlier).first()
    if base is None or base.best_level() != Level.PROVEN:
        raise NoScratch(
            _("What changed was restored and is equal, but the set it builds on, %(set)s, is not proven.")
            % {"set": earlier},
            _("Verify with an identity: then the whole chain is restored."),
        )
    return _(
        "%(name)s: what changed (%(count)s paths) was restored and is equal; the rest is proven with %(set)s, on which"
        " it builds. Verify with an identity to restore the whole chain."
    ) % {"name": name, "count": count, "set": earlier}


def conclude(verification: Verification, outcome: Outcome) -> None:
    """Write the outcome to the verification, its copy and its set, in one transaction."""
    passed = outcome.proven and not verification.copy.set.lack
    verification.facts, verification.differences = outcome.facts, outcome.differences[:SHOWN]
    verification.finished_at = timezone.now()
    if outcome.differences:
        verification.state, verification.reached = Verification.State.DAMAGED, Level.INTACT
        count = len(outcome.differences)
        verification.message = ngettext(
            "%(count)d difference: %(first)s", "%(count)d differences: %(first)s", count
        ) % {"count": count, "first": outcome.differences[0]}
    elif outcome.undecided:
        verification.state, verification.reached = Verification.State.UNDECIDED, Level.INTACT
        verification.message = " ".join(outcome.undecided)
    else:
        verification.state = Verification.State.PASSED if passed else Verification.State.UNDECIDED
        verification.reached = Level.PROVEN if passed else Level.STORED
        incomplete = _("What was dumped is proven, but the dump is incomplete.")
        verification.message = " ".join(outcome.notes) if passed else incomplete
    with transaction.atomic():
        verification.conclude()
        _raise_level(verification, outcome)
        record(
            verification.requested_by, "backups.verify.concluded", verification, reached=verification.reached
        )


def _raise_level(verification: Verification, outcome: Outcome) -> None:
    """The copy is as good as the best that was shown; the set as its best copy.

    Whoever comes here has read every part back, so that a copy that was damaged is so no more. A difference caps
    the set, and a later proof without any lifts that; what the dump lacks, no proof makes up for.
    """
    copy = Copy.objects.select_for_update().get(pk=verification.copy_id)
    one = Set.objects.select_for_update().get(pk=copy.set_id)
    copy.verified_at, copy.state, copy.message = verification.finished_at, Copy.State.COMPLETE, ""
    reached = Level.PROVEN if verification.reached == Level.PROVEN else Level.INTACT
    # After a difference: its bytes are what was stored; they are not what the source held.
    if outcome.differences or at_least(reached, copy.level):
        copy.level = reached
    copy.save(update_fields=["state", "message", "level", "verified_at"])
    if outcome.differences or outcome.proven:
        one.capped = bool(outcome.differences or one.lack)
    one.level = one.best_level()
    if one.capped:
        one.level_reason = why_capped(one)
    else:
        one.level_reason = verification.message if one.level != Level.PROVEN or outcome.notes else ""
    one.save(update_fields=["level", "level_reason", "capped"])
    chains.tell_dependents(one, one.level_reason)


def why_capped(one: Set) -> str:
    """What the dump lacks, or how the last proof that told a difference put it; "" for a set that is not capped."""
    if not one.capped:
        return ""
    if one.lack:
        return one.lack
    told = Verification.objects.filter(
        copy__set=one, state=Verification.State.DAMAGED, reached=Level.INTACT
    ).first()
    return told.message if told is not None else one.level_reason
