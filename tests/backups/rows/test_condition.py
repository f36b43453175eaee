"""What people write as a filter: understood, or refused with the columns; never SQL."""

import sqlite3

import pytest

from backups.rows import results
from backups.rows.condition import parsed
from backups.rows.merge import Difference, Kind
from backups.rows.results import Table
from backups.rows.shape import Column
from drcenter.errors import OperationFailed

NAMES = ["id", "total", "total net", "note", "x=y"]
ROWS = [
    ("1", "10.50", "5", "it's", None), ("2", "9", None, "NULL", "q"), ("10", "-1e3", "7", "", b"\x00\xff"),
    ("03", "abc", "8", "50%", "Ä"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path):
    with results.created(tmp_path / "rows" / "file") as rows:
        rows.add_table(Table("t", "", tuple(Column(name, "text") for name in NAMES), (0,)))
        for values in ROWS:
            rows.add("t", Difference(Kind.DELETED, values, None))
        rows.flush()
        yield rows


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id=1", ["1"]), ("id>1", ["2", "10", "03"]), ("id = 3", ["03"]), ("total<10", ["2", "10"]),
        ("total=10.5", ["1"]), ("total>=9", ["1", "2"]), ("total net=5", ["1"]), ("total net=NULL", ["2"]),
        ("note!=NULL", ["1", "2", "10", "03"]), ('note="NULL"', ["2"]), ("note=", ["10"]), ("note~'", ["1"]),
        ("note~%", ["03"]), ("note~_", []), ("x=y=q", ["2"]), ("x=y=NULL", ["1"]), ("x=y~ä", []), ("x=y=Ä", ["03"]),
        ("note=' OR '1'='1", []), ("id=1) OR (1=1", []), ("total=abc", ["03"]), ("note!=it's", ["2", "10", "03"]),
    ],
)  # fmt: skip
def test_conditions(file, text, ids) -> None:
    found = [held.difference.then[0] for held in file.page(parsed([text], NAMES), 0, 10)]
    assert found == ids


def test_all_conditions_have_to_hold(file) -> None:
    both = parsed(["id>1", "total<0"], NAMES)
    assert [held.difference.then[0] for held in file.page(both, 0, 10)] == ["10"]
    assert file.page(parsed([], NAMES, ["added"]), 0, 10) == []


@pytest.mark.parametrize("text", ["colour=red", "id", "id like 1", "=1", "; DROP TABLE rows", "id IN (1)"])
def test_what_is_no_condition(text) -> None:
    with pytest.raises(OperationFailed, match="no condition") as error:
        parsed([text], NAMES)
    assert "total net" in error.value.hint


def test_what_is_no_kind() -> None:
    with pytest.raises(OperationFailed, match="only deleted, changed and added"):
        parsed([], NAMES, ["gone"])


def test_a_file_is_of_its_owner_alone_and_gone_after_a_failure(tmp_path) -> None:
    path = tmp_path / "rows" / "file"
    with results.created(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(sqlite3.OperationalError), results.created(path):
        raise sqlite3.OperationalError
    assert not path.exists()
