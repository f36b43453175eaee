"""Sets whose sources are stored as increments: what they hold as a whole, and what becomes of them with a link."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from backups.destinations.base import NotThere
from backups.models import Copy, Set
from backups.pipe.decode import Damaged
from backups.storage import details, layout
from backups.storage.readback import ReadableCopy
from backups.storage.references import owner_of, refer
from backups.witness import Witness, joined
from drcenter.errors import OperationFailed


class LinkDamaged(Damaged):
    """An object of an earlier set, without which a set does not restore, is missing or damaged."""

    def __init__(self, link: str, message: str) -> None:
        super().__init__(
            _("%(link)s, which this set needs: %(message)s") % {"link": link, "message": message}
        )
        self.link = link


@contextmanager
def naming_link(key: str) -> Iterator[None]:
    """What is found wrong inside with the object `key` of an earlier set is told as LinkDamaged."""
    try:
        yield
    except (Damaged, NotThere) as error:
        if link := owner_of(key):
            raise LinkDamaged(link, error.message) from error
        raise


def whole(copy: ReadableCopy, one: Set, content: Mapping[str, Any]) -> dict[str, Any]:
    """The details `content` of the set `one`, with the witness of all that each source held.

    The details of an increment say what changed since an earlier set; those of the earlier ones are read for the
    rest, each by the digest that the one after it names. `first` is the witness of the full set that a chain begins
    with. `whole`: everything can be read, other than right after it was taken. Raises Damaged, NotThere, Unreadable, WrongIdentity.
    """
    known: dict[str, Mapping[str, Any]] = {}
    sources = {
        name: _whole(copy, one, name, detail, known) for name, detail in content.get("sources", {}).items()
    }
    return {**content, "sources": sources}


def _whole(
    copy: ReadableCopy, one: Set, name: str, detail: Mapping[str, Any], known: dict[str, Mapping[str, Any]]
) -> dict[str, Any]:
    increments, chain, earlier = [], [one.identifier], detail
    while since := earlier.get("since"):
        increments.append(earlier)
        identifier = str(since["set"])
        # A chain that goes on for ever, or somewhere else, is none.
        if not owner_of(refer(identifier, "details")) or identifier in chain:
            raise Damaged(f"{chain[-1]} says that it builds on {identifier!r}.")
        if identifier not in known:
            with naming_link(refer(identifier, "details")):
                known[identifier] = _details(copy, one, since)
        if name not in known[identifier].get("sources", {}):
            raise Damaged(f"{identifier}, on which this set builds, has no source {name}.")
        chain.append(identifier)
        earlier = known[identifier]["sources"][name]
    witness = Witness.from_json(earlier["witness"])
    first = witness
    for increment in reversed(increments):
        witness = joined(witness, Witness.from_json(increment["witness"]), increment["removed"])
    rest = {key: value for key, value in detail.items() if key not in {"since", "removed"}}
    return {**rest, "witness": witness.as_json(), "first": first.as_json(), "whole": True}


def _details(copy: ReadableCopy, one: Set, since: Mapping[str, Any]) -> Mapping[str, Any]:
    digest = str(since["details_sha256"])
    return details.read(copy, encrypted=one.encrypted, stored_sha256=digest, of=since["set"])


def details_needed(one: Set) -> dict[str, int | None]:
    """{name of the details of each set that `one` needs, as it refers to them: their stored size, if known}."""
    key = layout.details_key(encrypted=one.encrypted)
    return {f"../{need.identifier}/{key}": need.details_size for need in one.needs.all()}


def tell_dependents(one: Set, reason: str) -> None:
    """After the level of `one` changed: that of the sets that need it cannot be better. `reason` says why, if worse."""
    for dependent in Set.objects.complete().filter(needs=one):
        level = dependent.best_level()
        if level != dependent.level:
            dependent.level, dependent.level_reason = level, reason
            dependent.save(update_fields=["level", "level_reason"])


def note_link(copy: Copy, error: OperationFailed, reason: str) -> None:
    """Where an earlier set was found damaged through `copy`: its own copy there is, and what needs it is worse."""
    if not isinstance(error, LinkDamaged):
        return
    link = Set.objects.filter(system=copy.set.system, identifier=error.link).first()
    if link is None:
        return
    link.copies.filter(destination=copy.destination).update(
        state=Copy.State.DAMAGED, level="", message=reason
    )
    link.level, link.level_reason = link.best_level(), reason
    link.save(update_fields=["level", "level_reason"])
    tell_dependents(link, reason)


def what_else(copy: Copy, error: OperationFailed) -> str:
    """After a link of a chain was found damaged: which state can still be restored from there."""
    if not isinstance(error, LinkDamaged):
        return ""
    last = last_restorable(copy, error.link)
    place = {"place": copy.destination, "set": last}
    if last is None:
        return _("At %(place)s no earlier state can be restored: use another destination.") % place
    return _("The last state that %(place)s can restore without it: %(set)s.") % place


def last_restorable(copy: Copy, damaged: str) -> Set | None:
    """The newest set of the same plan, older than `copy`'s, that its destination holds without the set `damaged`."""
    one = copy.set
    earlier = Set.objects.complete().filter(system=one.system, plan=one.plan, started_at__lt=one.started_at)
    whole_copies = earlier.filter(copies__destination=copy.destination, copies__state=Copy.State.COMPLETE)
    return (
        whole_copies.exclude(identifier=damaged)
        .exclude(needs__identifier=damaged)
        .exclude(reason__in=Set.ASIDE)
        .order_by("-started_at")
        .first()
    )
