"""The order in which a system's sets were made, as their signed manifests tell it (pure).

Every set has a number, one higher than the last one of its system, and names its predecessor with the digest of that
set's checksums.txt. Numbers are never given twice by one DR Center, so that a gap, a fork, or a set that is not the
one its successor saw can be told from the manifests alone. docs/security.md says what they cannot tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


@dataclass(frozen=True)
class Link:
    """One set: `sha256` is of its checksums.txt; `predecessor` is "" for the first one."""

    identifier: str
    number: int
    sha256: str
    predecessor: str = ""
    predecessor_sha256: str = ""


class Kind(StrEnum):
    """What is wrong with a succession."""

    # Two sets have one number: two DR Centers wrote, or one that was itself put back to an older state.
    FORKED = "forked"
    # A set is not the one that its successor, or the catalogue, saw.
    CHANGED = "changed"
    # Sets between two others are not there: removed by retention, or by somebody else.
    MISSING = "missing"
    # The catalogue knows newer sets: the store was put back to an older state.
    OLDER = "older"


@dataclass(frozen=True)
class Break:
    """`identifiers`: the sets it is about, those that are there first. `numbers`: from and to, of what is missing."""

    kind: Kind
    identifiers: tuple[str, ...]
    numbers: tuple[int, int] = (0, 0)


def breaks(found: Iterable[Link], known: Iterable[Link] = ()) -> list[Break]:
    """What is wrong with the sets that were `found` at one place; `known` are those that the catalogue has.

    Sets without a number (of an older version of the product) are passed over.
    """
    there = sorted({link for link in found if link.number}, key=lambda link: (link.number, link.identifier))
    remembered = [link for link in known if link.number]
    return [
        *_forks([*there, *remembered]),
        *_changes(there, remembered),
        *_gaps(there),
        *_older(there, remembered),
    ]


def _forks(links: Iterable[Link]) -> Iterator[Break]:
    by_number: dict[int, set[str]] = defaultdict(set)
    for link in links:
        by_number[link.number].add(link.identifier)
    for number, names in sorted(by_number.items()):
        if len(names) > 1:
            yield Break(Kind.FORKED, tuple(sorted(names)), (number, number))


def _changes(there: list[Link], remembered: list[Link]) -> Iterator[Break]:
    """A digest that differs from what the catalogue, or the successor, was signed over."""
    by_name = {link.identifier: link for link in there}
    seen = {link.identifier: link.sha256 for link in remembered if link.sha256}
    for link in there:
        if seen.get(link.identifier, link.sha256) != link.sha256:
            yield Break(Kind.CHANGED, (link.identifier,), (link.number, link.number))
        before = by_name.get(link.predecessor)
        if before and before.sha256 != link.predecessor_sha256:
            yield Break(Kind.CHANGED, (before.identifier, link.identifier), (before.number, link.number))


def _gaps(there: list[Link]) -> Iterator[Break]:
    for before, after in pairwise(there):
        if after.number > before.number + 1:
            numbers = (before.number + 1, after.number - 1)
            yield Break(Kind.MISSING, (before.identifier, after.identifier), numbers)


def _older(there: list[Link], remembered: list[Link]) -> Iterator[Break]:
    newest = max((link.number for link in there), default=0)
    newer = sorted((link for link in remembered if link.number > newest), key=lambda link: link.number)
    if newer:
        names = tuple(link.identifier for link in newer)
        yield Break(Kind.OLDER, names, (newer[0].number, newer[-1].number))
