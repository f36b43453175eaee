import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.places.rule import Kept, Lack, lacks

DISK, STORE, FAR, LOCKED = (
    Kept("disk"),
    Kept("store"),
    Kept("store", away=True),
    Kept("store", away=True, locked=True),
)


@pytest.mark.parametrize(
    ("copies", "missing"),
    [
        ([], ["copies", "kinds", "away", "locked"]),
        ([DISK], ["copies", "kinds", "away", "locked"]),
        ([DISK, DISK], ["kinds", "away", "locked"]),
        ([DISK, STORE], ["away", "locked"]),
        ([DISK, FAR], ["locked"]),
        ([LOCKED], ["copies"]),
        ([DISK, LOCKED], []),
        ([Kept("disk", away=True, locked=True), DISK], ["kinds"]),
    ],
)
def test_what_is_missing(copies, missing) -> None:
    assert [str(lack) for lack in lacks(copies)] == missing


KEPT = st.builds(Kept, st.sampled_from(["disk", "store", "server"]), st.booleans(), st.booleans())


@given(st.lists(KEPT, max_size=5), KEPT)
def test_one_copy_more_never_makes_it_worse(copies, more) -> None:
    assert set(lacks([*copies, more])) <= set(lacks(copies))


@given(st.lists(KEPT, min_size=2, max_size=5))
def test_it_holds_only_with_one_away_and_one_locked(copies) -> None:
    if not lacks(copies):
        assert any(one.away for one in copies)
        assert any(one.locked for one in copies)
        assert {one.medium for one in copies} != {"disk"}
    assert Lack.COPIES not in lacks(copies)
