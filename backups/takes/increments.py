"""Decides whether a source of a set is stored whole, or only what changed since the set before; keeps what that needs.

The machine that takes sets cannot read the earlier ones. What it compares with is an index, kept in the state
directory: which states the paths had when the last set of this plan was taken. It is bound to that set by its
identifier and the digest of its details, and believed only while the catalogue has both. Whatever is missing or does
not fit leads to a full set, and the log of the set says why.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.engines.base import Engine, NeedsFull, Snapshot
from backups.models import Copy, Part, Set, Source
from backups.storage.references import owner_of
from backups.takes.taking import Taking


@dataclass(frozen=True)
class Base:
    """The set that an increment builds on, its parts of the source in the order of restore, and the index."""

    set: Set
    parts: Sequence[Part]
    index: bytes


@contextmanager
def opened(taking: Taking, source: Source, engine: Engine) -> Iterator[Snapshot]:
    """One moment of the source: of what has changed, if the plan wants that and it can be told, or of everything."""
    wanted = taking.plan.increments > 0 and engine.incremental and taking.set.reason not in Set.ASIDE
    with ExitStack() as stack:
        snapshot = _increment(taking, source, engine, stack) if wanted else None
        yield snapshot or stack.enter_context(engine.snapshot())


def _increment(taking: Taking, source: Source, engine: Engine, stack: ExitStack) -> Snapshot | None:
    try:
        base = _base(taking, source)
        snapshot = stack.enter_context(engine.since(base.index, taking.plan.full_above_percent / 100))
    except NeedsFull as reason:
        taking.log(
            _("%(source)s: everything is stored. %(reason)s") % {"source": source.name, "reason": reason}
        )
        return None
    taking.build_on(source, base.set, base.parts)
    taking.log(
        _("%(source)s: only what changed since %(set)s is stored.") % {"source": source.name, "set": base.set}
    )
    return snapshot


# ---------------------------------------------------------------------------- what to build on


def _base(taking: Taking, source: Source) -> Base:
    """The last set of the plan. Raises NeedsFull when there is none to build on, or it is time for a full one."""
    head, index = _read(_path(taking, source))
    last = (
        Set.objects.complete()
        .filter(system=taking.set.system, plan=taking.plan, identifier=head["set"])
        .filter(details_sha256=head["details"])
        .first()
    )
    if last is None:
        raise NeedsFull("The last set is not in the catalogue any more, or is another one.")
    parts = list(last.parts.filter(source_name=source.name).order_by("order"))
    if not parts:
        raise NeedsFull("The last set has nothing of this source.")
    _refuse_other_keys(taking, last)
    _refuse_incomplete(taking, last)
    links = _links(last, parts)
    refuse_missing(taking, links)
    _refuse_long(taking, links, parts)
    return Base(last, parts, index)


def _links(last: Set, parts: Sequence[Part]) -> list[Set]:
    """The sets of the chain, the full one first. Raises NeedsFull when the catalogue lacks one."""
    identifiers = {owner_of(part.key) or last.identifier for part in parts} | {last.identifier}
    links = list(
        Set.objects.complete().filter(system=last.system, identifier__in=identifiers).order_by("started_at")
    )
    if len(links) != len(identifiers):
        raise NeedsFull("A set that the last one builds on is not in the catalogue any more.")
    return links


def _refuse_other_keys(taking: Taking, last: Set) -> None:
    if (last.encrypted, sorted(last.recipients)) != (taking.set.encrypted, sorted(taking.recipients)):
        raise NeedsFull("The last set is for other recovery keys.")


def _refuse_incomplete(taking: Taking, last: Set) -> None:
    """What the last set lacked is stored now, unless it is still lacking."""
    if last.capped and not (last.lack and taking.capped):
        raise NeedsFull("The last set was incomplete, or differed from its source.")


def refuse_missing(taking: Taking, links: Sequence[Set]) -> None:
    """The whole chain has to lie where this set is written, and to be known wherever copies of it go.

    Raises NeedsFull, which names what is missing where.
    """
    here = taking.copy_row.destination
    for link in links:
        states = dict(link.copies.values_list("destination_id", "state"))
        if states.get(here.pk) != Copy.State.COMPLETE:
            raise NeedsFull(f"{link} has no complete copy at {here}.")
        for other in taking.plan.destinations.filter(enabled=True).exclude(pk=here.pk):
            if states.get(other.pk, Copy.State.DAMAGED) == Copy.State.DAMAGED:
                raise NeedsFull(f"{link} has no copy at {other}.")


def _refuse_long(taking: Taking, links: Sequence[Set], parts: Sequence[Part]) -> None:
    """By the plan's rules: so many increments, so many days, or so large a share after a full set."""
    plan, full = taking.plan, links[0]
    if len(links) > plan.increments:
        raise NeedsFull(f"The last full set has {len(links) - 1} increments.")
    began = full.started_at or full.created_at
    if timezone.now() - began >= timedelta(days=plan.full_after_days):
        raise NeedsFull(f"The last full set is from {began:%Y-%m-%d}.")
    sizes = {True: 0, False: 0}
    for part in parts:
        sizes[(owner_of(part.key) or part.set.identifier) == full.identifier] += part.stored_size
    if sizes[False] * 100 > sizes[True] * plan.full_above_percent:
        raise NeedsFull(
            f"The increments take {sizes[False]:,} bytes, the full set before them {sizes[True]:,}."
        )


# ---------------------------------------------------------------------------- the index on this machine


def keep(taking: Taking) -> None:
    """After the set was published: keep the indexes for the next one. That one cannot be kept makes the next set full."""
    for source, index in taking.indexes:
        path = _path(taking, source)
        try:
            _write(path, {"set": taking.set.identifier, "details": taking.set.details_sha256}, index)
        except OSError as error:
            taking.log(_("%(path)s cannot be written: the next set will be full. %(error)s")
                       % {"path": path, "error": error.strerror}, "warning")  # fmt: skip


def _path(taking: Taking, source: Source) -> Path:
    return Path(settings.STATE_DIR) / "increments" / f"{taking.plan.pk}-{source.pk}.index"


def _write(path: Path, head: dict[str, str], index: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(json.dumps(head).encode() + b"\n" + index)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        line, _end, index = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        return {"set": str(head["set"]), "details": str(head["details"])}, index
    except FileNotFoundError:
        raise NeedsFull("There is no index of an earlier set on this machine.") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NeedsFull(f"The index of the last set cannot be read ({error}).") from None
