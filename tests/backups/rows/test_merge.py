"""Differences of two streams in the order of digests: what a comparison of whole lists would say."""

from collections import Counter
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.rows import merge
from backups.rows.merge import Kind, Row, differences
from drcenter.errors import OperationFailed

VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["", "a", "1"]), st.sampled_from([1.0, 0.5]))
TABLES = st.lists(st.tuples(st.integers(0, 6), VALUES), max_size=14)


def stream(rows, key):
    def digest(values):
        return md5(repr([values[at] for at in key] or values).encode()).hexdigest()

    return iter(sorted((Row(digest(values), values) for values in rows), key=lambda row: row.digest))


def found(then, now, key):
    return list(differences(stream(then, key), stream(now, key), key))


def counted(rows):
    return Counter(tuple((type(value), value) for value in row) for row in rows)


@given(TABLES, TABLES, st.sampled_from([(), (0,)]))
def test_what_is_shown_makes_one_table_the_other(then, now, key) -> None:
    result = counted(now)
    for one in found(then, now, key):
        if one.now is not None:
            result -= counted([one.now])
        if one.then is not None:
            result += counted([one.then])
    assert result == counted(then)


@given(TABLES, TABLES)
def test_without_a_key_nothing_is_changed(then, now) -> None:
    kinds = [one.kind for one in found(then, now, ())]
    assert Kind.CHANGED not in kinds
    assert kinds.count(Kind.DELETED) == sum((counted(then) - counted(now)).values())
    assert kinds.count(Kind.ADDED) == sum((counted(now) - counted(then)).values())


@given(st.dictionaries(st.integers(0, 9), VALUES), st.dictionaries(st.integers(0, 9), VALUES))
def test_by_a_unique_key(then, now) -> None:
    shown = {(one.then or one.now)[0]: one.kind for one in found(then.items(), now.items(), (0,))}
    expected = dict.fromkeys(then.keys() - now.keys(), Kind.DELETED)
    expected |= dict.fromkeys(now.keys() - then.keys(), Kind.ADDED)
    both = then.keys() & now.keys()
    expected |= {key: Kind.CHANGED for key in both if counted([(then[key],)]) != counted([(now[key],)])}
    assert shown == expected


def test_rows_of_one_key_are_never_called_changed_where_there_are_several() -> None:
    kinds = [one.kind for one in found([(1, "a"), (1, "b")], [(1, "c")], (0,))]
    assert kinds == [Kind.DELETED, Kind.DELETED, Kind.ADDED]
    one = found([(1, "a"), (1, "b")], [(1, "a"), (1, "c")], (0,))
    assert [(line.kind, line.then, line.now) for line in one] == [(Kind.CHANGED, (1, "b"), (1, "c"))]


def test_ten_million_equal_rows_of_one_kind_are_only_counted() -> None:
    same = Row("x", ("a", 1))
    then, now = (same for _ in range(200_000)), (same for _ in range(199_999))
    assert [one.kind for one in differences(then, now, ())] == [Kind.DELETED]


def test_too_many_different_rows_of_one_key_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(merge, "LARGEST_GROUP", 5)
    rows = [Row("x", (1, number)) for number in range(6)]
    with pytest.raises(OperationFailed, match="same key"):
        list(differences(iter(rows), iter([]), (0,)))
