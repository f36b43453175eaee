"""Gaps, forks and sets put back, told from the manifests alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.storage.succession import Break, Kind, Link, breaks


def line(count: int) -> list[Link]:
    """A succession without a fault."""
    links: list[Link] = []
    for number in range(1, count + 1):
        before = links[-1] if links else Link("", 0, "")
        links.append(Link(f"set-{number}", number, f"digest-{number}", before.identifier, before.sha256))
    return links


FIVE = line(5)


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        (FIVE, FIVE, []),
        (FIVE, [], []),
        ([], [], []),
        # Retention removes from the beginning: no gap.
        (FIVE[2:], FIVE[2:], []),
        (FIVE[:2] + FIVE[4:], [], [Break(Kind.MISSING, ("set-2", "set-5"), (3, 4))]),
        (FIVE[:3], FIVE, [Break(Kind.OLDER, ("set-4", "set-5"), (4, 5))]),
        ([], FIVE[:1], [Break(Kind.OLDER, ("set-1",), (1, 1))]),
        # Two DR Centers, or one that was itself put back, went on from the same set.
        (
            [*FIVE, Link("other-5", 5, "x", "set-4", "digest-4")], [],
            [Break(Kind.FORKED, ("other-5", "set-5"), (5, 5))],
        ),
        ([*FIVE[:4], Link("other-5", 5, "x", "set-4", "digest-4")], FIVE, [Break(Kind.FORKED, ("other-5", "set-5"), (5, 5))]),
        # Made anew with our key, in the place of the old one.
        (
            [FIVE[0], replace(FIVE[1], sha256="forged"), FIVE[2]], [],
            [Break(Kind.CHANGED, ("set-2", "set-3"), (2, 3))],
        ),
        ([FIVE[0], replace(FIVE[1], sha256="forged")], FIVE[:2], [Break(Kind.CHANGED, ("set-2",), (2, 2))]),
        # Sets of a version that gave no numbers say nothing.
        ([replace(FIVE[0], number=0), replace(FIVE[4], number=0)], [], []),
    ],
)  # fmt: skip
def test_what_is_told(found, known, expected):
    assert breaks(found, known) == expected


@given(st.integers(1, 30).map(line), st.data())
def test_a_removed_middle_is_always_a_gap_and_order_does_not_matter(links, data):
    kept = sorted(data.draw(st.sets(st.sampled_from(range(len(links))), min_size=1)))
    found = data.draw(st.permutations([links[index] for index in kept]))
    missing = [one for one in breaks(found) if one.kind is Kind.MISSING]
    told = sum(one.numbers[1] - one.numbers[0] + 1 for one in missing)
    assert told == (kept[-1] - kept[0] + 1) - len(kept)
    assert {one.kind for one in breaks(found)} <= {Kind.MISSING}


@given(st.integers(2, 30).map(line), st.data())
def test_whoever_changes_a_set_is_told_by_its_successor(links, data):
    index = data.draw(st.integers(0, len(links) - 2))
    changed = [*links[:index], replace(links[index], sha256="other"), *links[index + 1 :]]
    assert [one.identifiers[0] for one in breaks(changed)] == [links[index].identifier]
