"""Two streams of rows, each in the order of the digests of their keys, become the differences (pure).

The order is that of digests, not of keys: it is the same on every server, whatever its collations, and for rows
without any key. Nothing is held but the rows of one digest.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, repeat
from typing import TypeAlias

from backups.rows.values import Value, Values, equal
from drcenter.errors import OperationFailed

# Rows of one key that are held at a time.
LARGEST_GROUP = 50_000


class Kind(StrEnum):
    DELETED = "deleted"
    CHANGED = "changed"
    ADDED = "added"


@dataclass(frozen=True)
class Row:
    """A row as a server gives it: the digest of its key, and its values."""

    digest: str
    values: Values


@dataclass(frozen=True)
class Difference:
    """`then`: the row of the set; `now`: that of production; None where there is none."""

    kind: Kind
    then: Values | None
    now: Values | None

    @property
    def changed(self) -> list[int]:
        """The positions of the columns that differ; of a row that is only on one side: none."""
        if self.then is None or self.now is None:
            return []
        pairs = zip(self.then, self.now, strict=True)
        return [at for at, (one, two) in enumerate(pairs) if not equal(one, two)]


def differences(then: Iterable[Row], now: Iterable[Row], key: Sequence[int]) -> Iterator[Difference]:
    """What differs, in the order of the digests. `key`: positions; none: whole rows, as many as there are of each.

    Raises OperationFailed when more rows have one key than can be held.
    """
    for before, after in _side_by_side(then, now):
        yield from _of_one_digest(before, after, key)


# Rows of one digest that differ from each other: how often each is there.
Group: TypeAlias = "dict[tuple[tuple[type, Value], ...], tuple[Values, int]]"


def _side_by_side(then: Iterable[Row], now: Iterable[Row]) -> Iterator[tuple[Group, Group]]:
    """The rows of each digest, of both sides."""
    left, right = _groups(then), _groups(now)
    one, two = next(left, None), next(right, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None  # noqa: S101 - for the type checker: one of both is there
            yield one[1], {}
            one = next(left, None)
        elif one is None or two[0] < one[0]:
            yield {}, two[1]
            two = next(right, None)
        else:
            yield one[1], two[1]
            one, two = next(left, None), next(right, None)


def _groups(rows: Iterable[Row]) -> Iterator[tuple[str, Group]]:
    for digest, members in groupby(rows, key=lambda row: row.digest):
        group: Group = {}
        for row in members:
            mark = tuple((type(value), value) for value in row.values)
            group[mark] = (row.values, group[mark][1] + 1 if mark in group else 1)
            if len(group) > LARGEST_GROUP:
                raise OperationFailed(
                    f"More than {LARGEST_GROUP} different rows have the same key.",
                    "Choose a key that tells them apart; --key '*' compares whole rows.",
                    permanent=True,
                )
        yield digest, group


def _of_one_digest(before: Group, after: Group, key: Sequence[int]) -> Iterator[Difference]:
    gone, come = list(_less(before, after)), list(_less(after, before))
    if not gone and not come:
        return
    if key and len(gone) == len(come) == 1 and all(equal(gone[0][at], come[0][at]) for at in key):
        yield Difference(Kind.CHANGED, gone[0], come[0])
        return
    for values in gone:
        yield Difference(Kind.DELETED, values, None)
    for values in come:
        yield Difference(Kind.ADDED, None, values)


def _less(rows: Group, others: Group) -> Iterator[Values]:
    """`rows` without those that `others` have, each as often as it is there."""
    for mark, (values, count) in rows.items():
        yield from repeat(values, max(0, count - (others[mark][1] if mark in others else 0)))
