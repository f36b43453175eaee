"""The digest of a plan: equal for equal plans, another for anything else, and what has changed is named."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.recovery import digest

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
PLANS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ),
    max_size=4,
)


@given(PLANS)
def test_it_survives_the_database(plan) -> None:
    """JSON columns give back equal content, in whatever order of keys."""
    again = json.loads(json.dumps(plan))
    turned = dict(reversed(again.items()))
    assert digest.digest(turned) == digest.digest(plan)
    assert digest.changes(plan, turned) == []


@given(PLANS, PLANS)
def test_it_is_equal_exactly_where_nothing_changed(one, other) -> None:
    assert (digest.digest(one) == digest.digest(other)) == (digest.changes(one, other) == [])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"stop": [["down"], ["x"]]}, [("stop",)]),
        ({"sources": {"db": {"host": "db2", "target": "shop"}}}, [("sources", "db", "host")]),
        ({"sources": {}}, [("sources", "db")]),
        ({"more": None}, [("more",)]),
        ({"number": True}, [("number",)]),
        ({"number": 1.0}, [("number",)]),
    ],
)
def test_what_changed_is_named(change, found) -> None:
    plan = {"stop": [["down"]], "sources": {"db": {"host": "db1", "target": "shop"}}, "number": 1}
    now = copy.deepcopy(plan) | change
    assert digest.changes(plan, now) == found
    assert digest.digest(plan) != digest.digest(now)


def test_what_json_cannot_hold_is_refused() -> None:
    for value in (float("nan"), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            digest.digest({"value": value})
