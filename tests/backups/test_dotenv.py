import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.dotenv import parse
from tests.backups.dotenv_cases import GOOD, ODD


@pytest.mark.parametrize(("content", "expected"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_reads(content: bytes, expected: dict[str, str]) -> None:
    assert parse(content).values == expected


@pytest.mark.parametrize(
    ("content", "line", "rest"), [case[1:] for case in ODD], ids=[case[0] for case in ODD]
)
def test_reports_odd_lines_and_reads_the_rest(content: bytes, line: int, rest: dict[str, str]) -> None:
    read = parse(content)
    assert read.values == rest
    assert [problem.line for problem in read.problems] == [line]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nWHAT IS THIS\n", "line 2: there is no = in it"),
        (b'A="one\ntwo\n', "line 1: the quote that begins here is never closed"),
        (b"A=${NOWHERE}", "line 1: ${NOWHERE} is not set before this line"),
        (b"A=1\nB=M\xfcller\n", "line 2: not UTF-8; such bytes are read as question marks"),
    ],
)
def test_says_what_is_odd(content: bytes, message: str) -> None:
    assert [str(problem) for problem in parse(content).problems] == [message]


def test_no_message_and_no_repr_shows_a_value() -> None:
    read = parse(b'A=hunter2 secret\nB=\'hunter2\nC="hunter2\\q"\nD=hunter2\nE="hunter2\n')
    assert "hunter2" not in repr(read)
    assert "hunter2" not in " ".join(map(str, read.problems))


def test_variables_that_exist_already_win() -> None:
    read = parse(b"A=file\nB=${A}${C}\n", outside={"A": "outside", "C": "c"})
    assert read.values == {"B": "outsidec"}


@pytest.mark.parametrize(
    ("value", "meant"),
    [("null", ""), ("(NULL)", ""), ("(empty)", ""), ("true", "true"), ("\"'quoted'\"", "quoted"), ("x", "x")],
)
def test_get_means_what_laravel_means(value: str, meant: str) -> None:
    assert parse(f"A={value}").get("A", "default") == meant


def test_get_has_a_default() -> None:
    assert parse("A=1").get("B", "2") == "2"


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="AB=\"'\\#$ {}\n\rnx", max_size=80)))
def test_never_raises(content: bytes | str) -> None:
    parse(content)
