"""How segments follow each other, and where something is missing."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.logs.chain import Mark, Position, Segment, Why, covered, gaps, line, reach, settled_until

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def segment(number: int, log: str = "binlog.000001", begin: int = 0, end: int = 100, **more) -> Segment:
    """One whose digest and `previous` follow from the numbers."""
    fields = {
        "incarnation": "1-a",
        "final": False,
        "marks": (),
        "previous": f"d{number - 1}",
        "digest": f"d{number}",
    }
    return Segment(number=number, log=log, begin=begin, end=end, **fields | more)


def archive() -> list[Segment]:
    """Two logs: three segments, then two."""
    return [
        segment(1, end=100), segment(2, begin=100, end=250), segment(3, begin=250, end=300, final=True),
        segment(4, "binlog.000002", 0, 40), segment(5, "binlog.000002", 40, 90),
    ]  # fmt: skip


def merged(segments: list[Segment]) -> Segment:
    """One that stands for all of them."""
    first, last = segments[0], segments[-1]
    return segment(
        first.number, first.log, first.begin, last.end,
        last=last.number, previous=first.previous, digest="whole", stands_for=last.link,
    )  # fmt: skip


def test_whole() -> None:
    assert gaps(reversed(archive())) == []
    assert line(reversed(archive())) == archive()
    found = reach(archive(), Position("binlog.000001", 120))
    assert found.end == Position("binlog.000002", 90)
    assert [one.number for one in found.segments] == [2, 3, 4, 5]
    assert found.gap is None


@pytest.mark.parametrize("number", [2, 3, 4])
def test_each_missing_one_is_a_gap(number: int) -> None:
    left = [one for one in archive() if one.number != number]
    (gap,) = gaps(left)
    assert gap.why is Why.MISSING
    assert gap.after is not None
    assert gap.before is not None
    assert (gap.after.number, gap.before.number) == (number - 1, number + 1)
    assert reach(left, Position("binlog.000001", 4)).end == archive()[number - 2].ends_at


def test_an_exchanged_one_is_a_gap() -> None:
    strange = [*archive()[:2], segment(3, begin=250, end=300, previous="of another life"), *archive()[3:]]
    assert [gap.why for gap in gaps(strange)] == [Why.MISSING]


@pytest.mark.parametrize(
    ("log", "begin"), [("binlog.000001", 310), ("binlog.000001", 290), ("binlog.000002", 4)]
)
def test_bytes_that_do_not_join_are_a_gap(log: str, begin: int) -> None:
    found = [*archive()[:3], segment(4, log, begin, 400)]
    assert [gap.why for gap in gaps(found)] == [Why.MISSING]


def test_a_new_incarnation_is_a_gap_though_the_chain_goes_on() -> None:
    anew = segment(6, "binlog.000001", 0, 70, incarnation="1-b")
    (gap,) = gaps([*archive(), anew])
    assert gap.why is Why.INCARNATION
    assert reach([*archive(), anew], Position("binlog.000001", 100), "1-a").gap == gap
    # The same name came back: without saying which, the newest is meant.
    assert reach([*archive(), anew], Position("binlog.000001", 50)).segments == (anew,)
    assert reach([*archive(), anew], Position("binlog.000001", 80)).segments[0].number == 1


@pytest.mark.parametrize(
    "start", [Position("binlog.000000", 4), Position("binlog.000003", 0), Position("binlog.000002", 91)]
)
def test_a_place_that_was_never_archived(start: Position) -> None:
    found = reach(archive(), start)
    assert (found.segments, found.end) == ((), start)
    assert found.gap is not None
    assert found.gap.why is Why.START


def test_the_end_of_the_archive_is_reached() -> None:
    assert reach(archive(), Position("binlog.000002", 90)).end == Position("binlog.000002", 90)
    assert reach(archive(), Position("binlog.000002", 90)).gap is None


def test_a_place_between_two_is_in_the_second() -> None:
    assert [one.number for one in reach(archive(), Position("binlog.000001", 250)).segments] == [3, 4, 5]


def test_one_may_stand_for_many() -> None:
    whole = merged(archive()[:3])
    assert line([whole, *archive()[3:]]) == [whole, *archive()[3:]]
    assert gaps([whole, *archive()[3:]]) == []


def test_those_that_are_locked_stay_beside_the_one_that_stands_for_them() -> None:
    whole = merged(archive()[:3])
    assert line([*archive(), whole]) == [whole, *archive()[3:]]
    assert line([whole, archive()[1], *archive()[3:]]) == [whole, *archive()[3:]]


def test_a_repeated_try_does_not_hide_what_follows() -> None:
    """A killed archiver had stored more than its successor, which went on from less."""
    dead_end = segment(5, "binlog.000002", 40, 95, digest="other")
    onward = segment(6, "binlog.000002", 90, 120)
    assert line([*archive(), dead_end, onward]) == [*archive(), onward]
    assert line([*archive(), dead_end]) == [*archive()[:4], dead_end]


def test_what_is_settled() -> None:
    marks = [
        Mark(BEGAN + timedelta(seconds=second), Position("binlog.000002", offset), BEGAN)
        for second, offset in [(0, 40), (1, 90), (2, 91)]
    ]
    assert settled_until(marks, archive()) == BEGAN + timedelta(seconds=1)
    assert settled_until(marks, archive()[:3]) is None
    assert not covered(Position("binlog.000009", 4), archive())


@pytest.mark.parametrize("bad", [{"begin": 5, "end": 4}, {"begin": -1}, {"last": 1}])
def test_what_is_no_segment(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="No segment"):
        segment(2, **bad)


@st.composite
def archives(draw: st.DrawFn) -> list[Segment]:
    """Logs of some segments each; the chain is whole."""
    found: list[Segment] = []
    for log in range(1, draw(st.integers(1, 4)) + 1):
        begin = 0
        for size in draw(st.lists(st.integers(1, 50), min_size=1, max_size=5)):
            found.append(segment(len(found) + 1, f"log.{log:06}", begin, begin + size))
            begin += size
    return found


@given(archives(), st.randoms(use_true_random=False))
def test_order_of_arrival_says_nothing(found: list[Segment], chance) -> None:
    mixed = list(found)
    chance.shuffle(mixed)
    assert line(mixed) == found
    assert gaps(mixed) == []


@given(archives(), st.data())
def test_every_hole_is_found_and_nothing_is_reached_beyond_it(
    found: list[Segment], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.integers(1, len(found))))
    left = [one for one in found if one.number not in gone]
    holes = sum(1 for one, other in pairwise(left) if other.number != one.number + 1)
    assert len(gaps(left)) == holes
    if left:
        way = reach(left, Position(left[0].log, left[0].begin)).segments
        numbers = [one.number for one in way]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@given(archives(), st.data())
def test_merging_changes_nothing_that_is_reached(found: list[Segment], data: st.DataObject) -> None:
    log = data.draw(st.sampled_from([one.log for one in found]))
    pieces = [one for one in found if one.log == log]
    rest = [one for one in found if one.log != log]
    kept = data.draw(st.lists(st.sampled_from(pieces), unique_by=lambda one: one.number))
    with_whole = [*rest, *kept, merged(pieces)]
    assert gaps(with_whole) == []
    start = Position(found[0].log, found[0].begin)
    assert reach(with_whole, start).end == reach(found, start).end
