"""The binary log of a real server replayed onto a restored set."""

import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from backups.logs.chain import Position
from backups.replay import statements
from drcenter.errors import OperationFailed
from tests.live.archived import Quiet
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import Taken, restored, take

__all__ = ["database", "filled", "mariadb_server"]


def here(database: Database) -> Position:
    ((log, offset, *_rest),) = database.execute("SHOW MASTER STATUS")
    return Position(log, offset)


def start_of(taken: Taken) -> Position:
    return Position(taken.position["file"], taken.position["position"])


def log_files(database: Database, place: Path) -> list[Path]:
    """Copies of all binlogs of the server, as an archive gives them back."""
    place.mkdir(exist_ok=True)
    source = database.server.directory / "data"
    return [Path(shutil.copy(file, place)) for file in sorted(source.glob("binlog.[0-9]*"))]


@contextmanager
def rewound(taken: Taken, database: Database, tmp_path: Path, stop: Position):
    engine, workspace = database.engine(), tmp_path / secrets.token_hex(4)
    workspace.mkdir()
    with restored(engine, taken, workspace, engine.inspect().facts) as place:
        files = log_files(database, tmp_path / "log")
        yield place, statements.replay(Quiet(), place, files, start_of(taken), stop)


def test_what_was_changed_since_comes_back_up_to_the_position(filled, tmp_path):
    taken = take(filled.engine())
    filled.fill([
        "INSERT INTO customers (name, email) VALUES ('new 😀', 'new@example.org')",
        "FLUSH BINARY LOGS",
        "UPDATE measures SET f = 16777220, body = x'00ff275c0d0a' WHERE id = 1",
        "DELETE FROM orders WHERE id = 2",
        "ALTER TABLE orders ADD note TEXT, ADD INDEX (amount)",
        "UPDATE orders SET note = 'it''s; \\\\ DELIMITER //\\n'",
        "CREATE TABLE made (id INT PRIMARY KEY, v JSON)",
        "INSERT INTO made VALUES (1, '{\"a\": 1}')",
        "UPDATE prices SET price = 99",
        "DO SETVAL(numbers, 1000)",
    ])  # fmt: skip
    stop, wanted = here(filled), filled.engine().witness()
    filled.fill(["DELETE FROM customers", "DROP TABLE made"])
    with rewound(taken, filled, tmp_path, stop) as (place, replayed):
        assert replayed.reached == stop
        assert replayed.transactions == 9
        found = place.witness()
    assert found.contents == wanted.contents
    assert found.objects == wanted.objects


def test_statements_from_other_databases_are_not_lost(filled, tmp_path):
    """`--database` alone would leave the TRUNCATE out without a word, and stop at the others."""
    taken = take(filled.engine())
    name = filled.name
    with filled.server.connect() as connection, connection.cursor() as cursor:
        try:
            for statement in (
                f"TRUNCATE `{name}`.`order notes`",
                f"CREATE DATABASE `{name}_other`",
                f"USE `{name}_other`",
                "CREATE TABLE elsewhere (id INT)",
                "INSERT INTO elsewhere VALUES (1)",
                f"CREATE TABLE `{name}`.made (id INT)",
                f"INSERT INTO `{name}`.made VALUES (7)",
                f"RENAME TABLE `{name}`.made TO `{name}`.renamed",
                f"USE `{name}`",
                "CREATE USER IF NOT EXISTS stranger@localhost",
                f"GRANT SELECT ON `{name}`.* TO stranger@localhost",
                "INSERT INTO renamed VALUES (8)",
            ):
                cursor.execute(statement)
            stop, wanted = here(filled), filled.rows()
            with rewound(taken, filled, tmp_path, stop) as (place, replayed):
                assert replayed.left_out == 2
                counted = place.counts(["order notes", "renamed"])
        finally:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}_other`")
            cursor.execute("DROP USER IF EXISTS stranger@localhost")
    assert counted == {"order notes": len(wanted["order notes"]), "renamed": 2}
    assert counted["order notes"] == 0


def test_a_database_that_was_dropped_and_made_anew(filled, tmp_path):
    taken = take(filled.engine())
    before = here(filled)
    name = filled.name
    filled.fill([
        f"DROP DATABASE `{name}`", f"CREATE DATABASE `{name}`", f"USE `{name}`",
        "CREATE TABLE fresh (id INT)", "INSERT INTO fresh VALUES (1), (2)",
    ])  # fmt: skip
    with rewound(taken, filled, tmp_path, here(filled)) as (place, _replayed):
        assert place.tables() == ["fresh"]
        assert place.counts(["fresh"]) == {"fresh": 2}
    with rewound(taken, filled, tmp_path, before) as (place, _replayed):
        assert "customers" in place.tables()


def test_a_log_that_does_not_fit_stops_with_what_the_server_says(filled, tmp_path):
    taken = take(filled.engine())
    filled.fill(["CREATE TABLE late (id INT)", "FLUSH BINARY LOGS"])
    begin = here(filled)
    filled.fill(["INSERT INTO late VALUES (1)"])
    taken.position = {"file": begin.log, "position": begin.offset}
    with pytest.raises(OperationFailed, match="late"), rewound(taken, filled, tmp_path, here(filled)):
        pass
