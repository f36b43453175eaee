"""Values keep their type and every digit, in files and in CSV."""

import csv
import io
import math

from hypothesis import given
from hypothesis import strategies as st

from backups.rows.values import csv_lines, equal, packed, shown, unpacked

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(st.none(), TEXT, st.binary(), st.integers(), st.floats(allow_nan=False))


@given(st.lists(VALUES).map(tuple))
def test_a_row_comes_back(row) -> None:
    back = unpacked(packed(row))
    assert len(back) == len(row)
    assert all(equal(one, two) for one, two in zip(back, row, strict=True))
    assert [math.copysign(1, one) for one in back if isinstance(one, float)] == [
        math.copysign(1, one) for one in row if isinstance(one, float)
    ]


def test_no_row_is_not_an_empty_one() -> None:
    assert unpacked(packed(None)) is None
    assert unpacked(packed(())) == ()


def test_types_are_told_apart() -> None:
    assert not equal(1, 1.0)
    assert not equal("1", 1)
    assert not equal("", None)
    assert not equal(b"a", "a")


@given(
    st.lists(
        st.tuples(TEXT.filter(lambda text: "\r" not in text and "\0" not in text), TEXT.filter(bool)),
        max_size=5,
    )
)
def test_csv_can_be_read(rows) -> None:
    rows = [(one, two.replace("\r", "").replace("\0", "") or "x") for one, two in rows]
    text = "".join(csv_lines(["a", "b"], rows))
    assert list(csv.reader(io.StringIO(text)))[1:] == [list(row) for row in rows]


def test_what_is_shown_is_cut_with_its_length() -> None:
    assert shown(None) == "NULL"
    assert shown("x" * 100, 10) == "xxxxxxxxxx… (100)"
    assert shown(b"\x00\xff") == "x'00ff'"
