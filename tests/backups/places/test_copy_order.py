from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backups.places.copy_order import Missing, order

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def one(
    key: int, line: int = 1, good: bool = True, needs: tuple[int, ...] = (), day: int | None = None
) -> Missing:
    return Missing(key, line, DAY + timedelta(days=key if day is None else day), good, frozenset(needs))


def test_the_newest_good_one_first_then_the_oldest() -> None:
    assert order([one(1), one(2), one(3), one(4, good=False)]) == [3, 1, 2, 4]


def test_of_every_plan() -> None:
    assert order([one(1), one(2), one(3, line=2), one(4, line=2)]) == [4, 2, 1, 3]


def test_what_a_set_needs_comes_before_it() -> None:
    assert order([one(1), one(2, needs=(1,)), one(3, needs=(2, 1)), one(4, line=2)]) == [4, 1, 2, 3]


def test_needs_that_are_there_already_or_go_in_circles_stop_nothing() -> None:
    assert order([one(2, needs=(1, 99)), one(3, needs=(4,)), one(4, needs=(3,))]) == [3, 4, 2]


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.sets(st.integers(0, 15))), max_size=15))
def test_each_comes_once_and_after_what_it_needs(facts) -> None:
    missing = [
        one(key, line, good, tuple(need for need in needs if need < key))
        for key, (line, good, needs) in enumerate(facts)
    ]
    found = order(missing)
    assert sorted(found) == [item.key for item in missing]
    at = {key: place for place, key in enumerate(found)}
    assert all(at[need] < at[item.key] for item in missing for need in item.needs)
