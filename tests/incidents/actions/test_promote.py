"""A standby becomes the primary: real servers that follow one another, and a primary that is killed."""

import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from backups.servers import mariadb, postgresql
from drcenter.errors import OperationFailed
from incidents.actions import mariadb_promote, postgresql_promote
from tests.incidents.actions.here import context, done


def until(test) -> None:
    ends = time.monotonic() + 30
    while not test():
        assert time.monotonic() < ends, "it did not happen within 30 s"
        time.sleep(0.05)


def options(standby, primary, user, **more):
    return {
        "host": standby.host, "port": standby.port, "user": user, "password": "env:STANDBY_PASSWORD",
        "old_host": primary.host, "old_port": primary.port, "most_lag": 60,
    } | more  # fmt: skip


@pytest.fixture
def postgresql_pair(monkeypatch):
    """A primary that ends with the first stack, and a standby that follows it."""
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))
    place.chmod(0o755)
    stack, first = ExitStack(), ExitStack()
    try:
        for name in ("primary", "standby"):
            (place / name).mkdir(mode=0o700)
            if postgresql.system_user():
                shutil.chown(place / name, "postgres", "postgres")
        sending = {"max_wal_senders": "5", "wal_level": "replica", "hot_standby": "on"}
        primary = first.enter_context(
            postgresql.private_server(directory=place / "primary", settings=sending)
        )
        with primary.connect() as connection:
            connection.execute("CREATE TABLE t (id int)")
            connection.execute("INSERT INTO t VALUES (1)")
        password = (primary.directory / "password").read_text()
        shutil.copy2(primary.directory / "password", place / "standby" / "password")
        monkeypatch.setenv("PGPASSWORD", password)
        monkeypatch.setenv("STANDBY_PASSWORD", password)
        where = f"host={primary.host} port={primary.port} user={postgresql.ADMINISTRATOR} dbname=postgres"
        as_server = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            if postgresql.system_user()
            else []
        )
        target = place / "standby" / "data"
        subprocess.run(
            [*as_server, "pg_basebackup", "-d", where, "-D", str(target), "-X", "stream", "-R"], check=True
        )
        where += f" password={password}"
        standby = stack.enter_context(followed(place / "standby", sending | {"primary_conninfo": where}))
        yield primary, standby, first.close
    finally:
        stack.close()
        first.close()
        shutil.rmtree(place)


def followed(directory, settings):
    return postgresql.private_server(directory=directory, settings=settings)


def test_postgresql(postgresql_pair):
    primary, standby, kill = postgresql_pair
    action = postgresql_promote.Plugin(options(standby, primary, postgresql.ADMINISTRATOR))
    with pytest.raises(OperationFailed, match="still answers") as told:
        action.look(context())
    assert "Fence it off" in told.value.hint
    with primary.connect() as connection:
        connection.execute("INSERT INTO t VALUES (2)")

    def arrived() -> bool:
        with standby.connect() as connection:
            return connection.execute("SELECT count(*) FROM t").fetchone()[0] == 2

    until(arrived)
    kill()
    before = done(action, context())
    assert before["received"]
    with standby.connect() as connection:
        connection.execute("INSERT INTO t VALUES (3)")
        assert connection.execute("SELECT array_agg(id ORDER BY id) FROM t").fetchone()[0] == [1, 2, 3]
    action.execute(context(), before)
    with pytest.raises(OperationFailed, match="takes writes already"):
        action.look(context())


@pytest.fixture
def mariadb_pair(monkeypatch):
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        primary = first.enter_context(mariadb.private_server(binlog=True))
        standby = stack.enter_context(mariadb.private_server(binlog=True, settings={"read_only": "1"}))
        with primary.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER follower@'%' IDENTIFIED BY 'follow-it'")
            cursor.execute("GRANT REPLICATION SLAVE ON *.* TO follower@'%'")
            # What came before is not followed: it sets the password of root.
            cursor.execute("SELECT @@GLOBAL.gtid_current_pos")
            position = cursor.fetchone()[0]
        with standby.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL server_id = 4711")
            cursor.execute("SET GLOBAL gtid_slave_pos = %s", (position,))
            cursor.execute(
                "CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%s, MASTER_USER='follower', MASTER_PASSWORD='follow-it',"
                " MASTER_USE_GTID=slave_pos",
                (primary.host, primary.port),
            )
            cursor.execute("START SLAVE")
        with primary.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")
            cursor.execute("CREATE TABLE shop.t (id INT)")
        monkeypatch.setenv("STANDBY_PASSWORD", standby.password.reveal())
        yield primary, standby, first.close


def count(server) -> int:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT COUNT(*) FROM shop.t")
        return cursor.fetchone()[0]


def test_mariadb(mariadb_pair):
    primary, standby, kill = mariadb_pair
    with primary.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop.t VALUES (1), (2)")
        connection.commit()
    until(lambda: count(standby) == 2)
    action = mariadb_promote.Plugin(options(standby, primary, "root"))
    with pytest.raises(OperationFailed, match="still answers"):
        action.look(context())
    kill()
    before = done(action, context())
    assert before["read_only"]
    with standby.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop.t VALUES (3)")
        connection.commit()
    assert count(standby) == 3
    action.execute(context(), before)
    with pytest.raises(OperationFailed, match="follows nobody"):
        action.look(context())


def test_a_replica_that_applies_nothing_is_not_promoted(mariadb_pair):
    primary, standby, kill = mariadb_pair
    until(lambda: count(standby) == 0)
    with standby.connect() as connection, connection.cursor() as cursor:
        cursor.execute("STOP SLAVE SQL_THREAD")
    kill()
    with pytest.raises(OperationFailed, match="applies nothing"):
        mariadb_promote.Plugin(options(standby, primary, "root")).look(context())


@pytest.mark.parametrize("module", [mariadb_promote, postgresql_promote])
def test_a_standby_that_is_gone_is_told(module, monkeypatch):
    monkeypatch.setenv("STANDBY_PASSWORD", "not-to-be-seen-0815")
    gone = {"host": "127.0.0.1", "port": 1, "user": "x", "password": "env:STANDBY_PASSWORD"}
    with pytest.raises(OperationFailed) as told:
        module.Plugin(gone).look(context())
    assert "not-to-be-seen" not in str(told.value)
