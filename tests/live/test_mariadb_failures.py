"""Bad input and bad days: what an operator reads, and that no secret is in it."""

import socket
from pathlib import Path

import pytest

from backups.engines import mariadb as engine_module
from backups.engines.base import NoScratch
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import restore, take

__all__ = ["database", "filled", "mariadb_server"]

# What option files, shells and SQL each give a meaning of their own.
ODD_PASSWORD = "a b#c;d\"e'f\\g$h%i=j\\n[k]ü😀"


def test_a_wrong_password(database: Database) -> None:
    engine = database.engine(password="not-the-password")
    for act in (engine.inspect, engine.witness, lambda: take(engine)):
        with pytest.raises(OperationFailed, match="1045") as caught:
            act()
        assert caught.value.permanent
        assert "password" in caught.value.hint
        assert "not-the-password" not in str(caught.value) + repr(caught.value)


def test_an_unknown_database(database: Database) -> None:
    with pytest.raises(OperationFailed, match="Unknown database") as caught:
        database.engine(database="nothing").inspect()
    assert caught.value.permanent


def test_a_database_without_any_right_on_it(database: Database) -> None:
    with pytest.raises(OperationFailed, match="1044") as caught:
        database.user("stranger").inspect()
    assert "Grant" in caught.value.hint


def test_a_server_that_is_not_there(database: Database) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = database.engine(port=port)
    with pytest.raises(OperationFailed, match="2003") as caught:
        engine.inspect()
    assert not caught.value.permanent
    assert "firewall" in caught.value.hint


def test_a_socket_that_is_not_there(database: Database, tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="there is no socket"):
        database.engine(socket=str(tmp_path / "none.sock")).inspect()


def test_a_selected_table_that_is_gone(filled: Database) -> None:
    with pytest.raises(OperationFailed, match="no table nothing") as caught:
        filled.engine(tables=["customers", "nothing"]).inspect()
    assert caught.value.permanent


def test_a_missing_password_variable(database: Database) -> None:
    with pytest.raises(OperationFailed, match="DRC_NOT_SET is not set"):
        database.engine().replaced(password="env:DRC_NOT_SET").inspect()


def test_a_missing_tool_is_named_with_its_package(
    filled: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = filled.engine()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationFailed, match="mariadb-dump is not installed") as caught:
        take(engine)
    assert "mariadb-client" in caught.value.hint


def test_a_password_with_every_odd_character(filled: Database) -> None:
    filled.execute("CREATE OR REPLACE USER odd@`%%` IDENTIFIED BY %s", ODD_PASSWORD)
    filled.execute(f"GRANT ALL ON `{filled.name}`.* TO odd@`%`")
    filled.execute("GRANT SELECT ON mysql.* TO odd@`%`")
    engine = filled.engine("odd", ODD_PASSWORD)
    assert differences(take(engine).witness, filled.engine().witness()) == []


def test_the_socket_works_as_well_as_the_port(filled: Database) -> None:
    engine = filled.engine(host="", socket=filled.server.socket)
    taken = take(engine)
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    assert engine.host == "localhost"


def test_a_dump_that_is_cut_off_does_not_restore_in_silence(filled: Database) -> None:
    engine = filled.engine()
    taken = take(engine)
    taken.parts = [
        (name, suffix, plain[: len(plain) // 2 + 7] if name == "database" else plain)
        for name, suffix, plain in taken.parts
    ]
    copy = engine.beside(f"{filled.name}_copy")
    try:
        restore(copy, taken)
    except OperationFailed as error:
        assert "mariadb" in error.message
    assert differences(taken.witness, copy.witness()) != []


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("10.4.12-MariaDB-log", "MariaDB 10.4.12"),
        ("8.0.36", "MySQL 8.0.36"),
    ],
)
def test_no_fitting_server_is_a_reason(database: Database, tmp_path: Path, version: str, reason: str) -> None:
    with pytest.raises(NoScratch, match=reason), database.engine().scratch(tmp_path, {"version": version}):
        pass


def test_no_server_at_all_is_a_reason(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise OperationFailed("No MariaDB server is installed on this machine.", "Install it.")

    monkeypatch.setattr(engine_module, "installed_version", missing)
    with (
        pytest.raises(NoScratch, match="No MariaDB server"),
        database.engine().scratch(tmp_path, {"version": "10.11.1"}),
    ):
        pass


def test_counting_a_table_that_is_gone(filled: Database) -> None:
    with pytest.raises(OperationFailed, match="nothing does not exist"):
        filled.engine().counts(["customers", "nothing"])
