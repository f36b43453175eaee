"""Which rights a restore over production asks servers for, and what a refusal in its middle says."""

import secrets

import pytest

from backups import engines
from backups.recovery.placing import end_well
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.process import DEVNULL, PIPE, start
from tests.live.mariadb_fixtures import Database, database, mariadb_server

__all__ = ["database", "mariadb_server"]


def test_what_the_set_holds_asks_for_its_rights(database: Database) -> None:
    """A trigger, a view, an event and a procedure are in the set; the user may all but make these."""
    engine = database.user("half", f"SELECT, INSERT, CREATE, DROP, ALTER, LOCK TABLES ON `{database.name}`.*")
    engine.check_may_overwrite()
    engine.check_may_overwrite(Witness({"table orders": ""}))
    objects = {"trigger t": "", "view v": "", "event e": "", "procedure p": ""}
    with pytest.raises(OperationFailed) as caught:
        engine.check_may_overwrite(Witness(objects))
    for right in ("CREATE VIEW", "TRIGGER", "EVENT", "CREATE ROUTINE", "ALTER ROUTINE"):
        assert right in caught.value.message
    database.execute(f"GRANT ALL PRIVILEGES ON `{database.name}`.* TO half@`%`")
    engine.check_may_overwrite(Witness(objects))


def test_a_function_and_a_schema_of_others_and_the_right_to_make(
    postgresql_server, postgresql_database: str, tmp_path
) -> None:
    (tmp_path / "word").write_text(word := secrets.token_hex(8))
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute(f"CREATE ROLE app LOGIN PASSWORD '{word}'".encode())
        connection.execute("CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO app")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute("CREATE ROLE holder")
        connection.execute("CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'")
        connection.execute("ALTER FUNCTION twice OWNER TO holder")
        connection.execute("CREATE SCHEMA theirs AUTHORIZATION holder")
    options = {
        **postgresql_server.options(postgresql_database),
        "user": "app",
        "password": f"file:{tmp_path / 'word'}",
    }
    engine = engines.build("postgresql", options)
    with pytest.raises(OperationFailed) as caught:
        engine.check_may_overwrite()
    assert "public.twice()" in caught.value.message and "schema theirs" in caught.value.message
    assert "GRANT holder TO app" in caught.value.hint
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("GRANT holder TO app")
    with pytest.raises(OperationFailed) as caught:
        engine.check_may_overwrite()
    assert "GRANT CREATE ON SCHEMA public TO app;" in caught.value.hint
    assert "GRANT CREATE ON DATABASE" in caught.value.hint
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("DROP SCHEMA theirs")
        connection.execute("GRANT CREATE ON SCHEMA public TO app")
    engine.check_may_overwrite()
    engine.check_may_overwrite(Witness({"schema public": ""}))
    with pytest.raises(OperationFailed, match="DATABASE"):
        engine.check_may_overwrite(Witness({"schema sales": ""}))


def refused(engine, sql: bytes) -> OperationFailed:
    """What the load of such a part says."""
    command = engine.consumer("database", "sql")
    with pytest.raises(OperationFailed) as caught, start(command, stdin=PIPE, stdout=DEVNULL) as child:
        for block in command.input(iter([sql])):
            child.stdin.write(block)
        child.stdin.close()
        end_well(child)
    return caught.value


@pytest.mark.parametrize("sql", [
    b"CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.id = 1;",
    b"CREATE DATABASE another;",
    b"CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1;",
])  # fmt: skip
def test_a_right_that_is_missing_in_the_middle_is_not_tried_again(database: Database, sql: bytes) -> None:
    database.execute("CREATE TABLE a (id INT)")
    engine = database.user("half", f"SELECT, INSERT, CREATE, CREATE VIEW ON `{database.name}`.*")
    error = refused(engine, sql + b"\n")
    assert error.permanent, error.message
    assert "GRANT" in error.hint


def test_nor_by_postgresql(postgresql_server, postgresql_database: str, tmp_path) -> None:
    (tmp_path / "word").write_text(word := secrets.token_hex(8))
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute(f"CREATE ROLE app LOGIN PASSWORD '{word}'".encode())
        connection.execute("CREATE TABLE theirs (id int)")
    options = {
        **postgresql_server.options(postgresql_database),
        "user": "app",
        "password": f"file:{tmp_path / 'word'}",
    }
    engine = engines.build("postgresql", options)
    for sql in (b"SELECT * FROM theirs;\n", b"DROP TABLE theirs;\n"):
        error = refused(engine, sql)
        assert error.permanent and "GRANT" in error.hint, error.message
