"""When nothing may be removed: each way in which the picture can be wrong, and what is no reason to stop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.keep.doubts import Doubt, Picture, doubts
from backups.keep.retention import Item, Rules, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = Rules(daily=14)
PLAUSIBLE = Picture(NOW, NOW - timedelta(days=1), 0, 3, {"here": (20, 20)})


def healthy(count: int = 18) -> list[Item]:
    return [Item(n, NOW - timedelta(days=n, hours=1), 3, "proven", size=1000) for n in range(count)]


def found(items, picture=PLAUSIBLE, rules=RULES) -> set[Doubt]:
    return {one.doubt for one in doubts(items, decide(items, rules, picture.now), picture)}


def test_a_healthy_picture_raises_none():
    assert found(healthy()) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"now": NOW - timedelta(days=2), "last_pruned_at": NOW}, {Doubt.FUTURE, Doubt.BACK}),
        ({"now": NOW + timedelta(days=365), "missed": 365}, {Doubt.MISSED}),
        ({"now": NOW + timedelta(days=2), "missed": 48}, set()),
        ({"now": NOW + timedelta(days=8), "missed": 8}, set()),
        ({"last_pruned_at": NOW + timedelta(hours=1)}, {Doubt.BACK}),
        ({"last_pruned_at": NOW + timedelta(minutes=2)}, set()),
        ({"last_pruned_at": None}, set()),
        ({"listed": {"here": (3, 20), "there": (20, 20)}}, {Doubt.LISTING}),
        ({"listed": {"here": (0, 1)}}, {Doubt.LISTING}),
        ({"listed": {"here": (19, 20)}}, set()),
        ({"listed": {"here": (40, 20)}}, set()),
        ({"listed": {"here": (0, 0)}}, set()),
    ],
)
def test_clock_and_listing(change, expected):
    assert found(healthy(), replace(PLAUSIBLE, **change)) == expected


def test_a_set_from_the_future():
    assert found([*healthy(), Item(99, NOW + timedelta(days=300), 3, size=1000)]) == {Doubt.FUTURE}


@pytest.mark.parametrize(("count", "expected"), [(1, set()), (2, set()), (5, {Doubt.DAMAGED})])
def test_many_damaged_ones(count, expected):
    items = healthy(40)
    changed = [
        replace(item, usable=False) if item.id < count * 2 and item.id % 2 else item for item in items[:20]
    ]
    assert found(changed) == expected


@pytest.mark.parametrize(("count", "expected"), [(2, set()), (4, {Doubt.LEVEL})])
def test_many_unproven_ones_after_proven_ones(count, expected):
    items = [replace(item, rank=2) if item.id < count else item for item in healthy()]
    assert found(items) == expected


def test_a_plan_whose_sets_were_never_proven_is_no_surprise():
    assert found([replace(item, rank=2) for item in healthy()]) == set()


def test_a_plan_that_wants_no_proof():
    items = [replace(item, rank=1) if item.id < 4 else item for item in healthy()]
    assert found(items, replace(PLAUSIBLE, wanted_rank=1)) == set()


@pytest.mark.parametrize(("size", "expected"), [(399, {Doubt.SIZE}), (401, set()), (99_999, set())])
def test_a_size_that_collapsed(size, expected):
    first, *rest = healthy()
    assert found([replace(first, size=size), *rest]) == expected


def test_an_increment_is_small():
    first, *rest = healthy()
    assert found([replace(first, size=1, needs=frozenset({1})), *rest]) == set()


def test_too_many_at_once():
    assert found(healthy(40)) == {Doubt.SHARE}
    assert found(healthy(27)) == set()
    assert found(healthy(5), rules=Rules(daily=2, minimum=1)) == set()


def test_too_many_in_all():
    items = [Item(n, NOW - timedelta(hours=n), 3, size=1) for n in range(900)]
    assert found(items, rules=Rules(days=29, minimum=1)) == {Doubt.SHARE}
    assert found(items[:-20], rules=Rules(days=29, minimum=1)) == set()


def test_where_nothing_would_go_there_is_nothing_to_doubt():
    picture = replace(PLAUSIBLE, listed={"here": (0, 20)}, missed=999, now=NOW + timedelta(days=99))
    assert found(healthy(3), picture) == set()
    assert found([], picture) == set()


@given(
    st.lists(
        st.builds(
            Item, st.integers(0, 50), st.integers(-99, 999).map(lambda days: NOW - timedelta(days=days)),
            st.integers(0, 3), usable=st.booleans(), safety=st.booleans(), size=st.integers(0, 9),
        ),
        unique_by=lambda item: item.id,
    )
)  # fmt: skip
def test_no_more_than_half_go_unseen(items):
    """Whatever the sets: what is removed without a doubt is at most half, or a handful."""
    decisions = decide(items, RULES, NOW)
    leaving = {one.id for one in decisions if not one.keep}
    usable = [item for item in items if item.usable]
    going = [item for item in usable if item.id in leaving]
    if len(going) > 3 and len(going) * 2 > len(usable):
        assert doubts(items, decisions, PLAUSIBLE)
