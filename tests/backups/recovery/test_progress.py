"""What recorded steps tell of production."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.recovery import progress
from backups.recovery.progress import Standing


def steps(*words: str) -> list[dict]:
    """ "overwrite:db+" ended well, "…-" failed, "…?" was broken off, "…0" changed nothing."""
    ends = {"+": True, "-": False, "?": None, "0": False}
    return [{"key": word[:-1], "ok": ends[word[-1]], "untouched": word[-1] == "0"} for word in words]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([], Standing.OLD),
        (["stop:0+", "safety+"], Standing.OLD),
        (["overwrite:db?"], Standing.HALF),
        (["overwrite:db-"], Standing.HALF),
        (["overwrite:db0"], Standing.OLD),
        (["overwrite:db+", "compare:db-"], Standing.NEW),
        (["overwrite:db+", "put_back:db?"], Standing.HALF),
        (["overwrite:db+", "put_back:db+"], Standing.OLD),
        (["overwrite:db+", "put_back:db+", "overwrite:db+"], Standing.NEW),
        (["overwrite:db2+"], Standing.OLD),
    ],
)
def test_what_a_source_holds(told: list[str], found: Standing) -> None:
    assert progress.standing(steps(*told), "db") == found


@pytest.mark.parametrize(
    ("told", "key", "done"),
    [
        (["stop:0+"], "stop:0", True),
        (["stop:0?"], "stop:0", False),
        (["stop:0+", "start:0?"], "stop:0", False),
        (["stop:0+", "start:0?", "stop:0+"], "stop:0", True),
        (["start:0+", "start:1-"], "start:0", True),
        (["start:0+", "start:1-", "stop:0+"], "start:0", False),
        (["clean_up:0+"], "clean_up:0", True),
        (["clean_up:0+", "overwrite:db+"], "clean_up:0", False),
        (["compare:db+", "overwrite:db?"], "compare:db", False),
        (["compare:db+", "overwrite:db2+"], "compare:db", True),
        (["overwrite:db+", "put_back:db?"], "overwrite:db", False),
        (["halt+", "give_back?"], "halt", False),
    ],
)
def test_what_is_done(told: list[str], key: str, done: bool) -> None:
    assert progress.is_done(steps(*told), key) is done


WORDS = st.tuples(
    st.sampled_from(
        ["stop:0", "overwrite:db", "put_back:db", "compare:db", "clean_up:0", "start:0", "safety"]
    ),
    st.sampled_from("+-?0"),
).map("".join)


@given(st.lists(WORDS, max_size=8), WORDS.map(lambda word: word[:-1]))
def test_what_did_not_end_well_last_is_never_done(told: list[str], key: str) -> None:
    """A step counts as done only by its own good end, and never after it was begun anew without one."""
    found = steps(*told)
    if progress.is_done(found, key):
        assert any(step["key"] == key and step["ok"] for step in found)
    if key == "overwrite:db":
        real = [step for step in found if not step["untouched"] or step["ok"]]
        if real == found:
            assert progress.is_done(found, key) == (progress.standing(found, "db") == Standing.NEW)
