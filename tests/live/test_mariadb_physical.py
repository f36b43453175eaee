"""Physical backups of a real server under load: prepared, started, and compared row by row with their moment."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backups.engines._mariadb_connect import connected, execute
from backups.engines._mariadb_physical_place import login_of
from backups.engines.mariadb_physical import Plugin
from backups.servers.mariadb import Server, private_server
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.taking import Taken, produced, restore, take

RIGHTS = "RELOAD, PROCESS, BINLOG MONITOR, SELECT, SHOW VIEW, TRIGGER, EVENT"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server(binlog=True) as server, server.connect() as connection, connection.cursor() as cursor:
        for statement in (
            "CREATE DATABASE `my shop`", "USE `my shop`",
            "CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, text TEXT)",
            "INSERT INTO orders (text) SELECT REPEAT('a', 100) FROM seq_1_to_5000",
            "CREATE TABLE old (a INT) ENGINE=MyISAM",
            "CREATE VIEW some AS SELECT id FROM orders WHERE id < 10",
            "CREATE EVENT tidy ON SCHEDULE EVERY 1 SECOND DO DELETE FROM orders",
            "CREATE USER taker@localhost IDENTIFIED BY 'x'", f"GRANT {RIGHTS} ON *.* TO taker@localhost",
        ):  # fmt: skip
            cursor.execute(statement)
        yield server


@pytest.fixture
def engine(server: Server, monkeypatch) -> Plugin:
    monkeypatch.setenv("DRC_TEST_TAKER", "x")
    return Plugin({"socket": server.socket, "user": "taker", "password": "env:DRC_TEST_TAKER"})


@contextmanager
def writers(server: Server, count: int) -> Iterator[None]:
    over = threading.Event()

    def write() -> None:
        with server.connect("my shop") as connection, connection.cursor() as cursor:
            while not over.is_set():
                cursor.execute("INSERT INTO orders (text) VALUES ('b')")

    threads = [threading.Thread(target=write) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def proven(engine: Plugin, taken: Taken, tmp_path) -> list[str]:
    with engine.scratch(tmp_path, engine.inspect().facts) as place:
        restore(place, taken)
        return differences(taken.witness, place.witness())


def test_under_load_the_restored_server_is_equal_to_the_source_at_its_moment(server, engine, tmp_path):
    """The moment in which commits are held back may be too short on a machine that is busy: then the set says so."""
    for _ in range(5):
        with writers(server, 2):
            taken = take(engine)
        if not taken.findings:
            break
        assert "cannot be proven" in taken.findings[0].message
    assert not taken.findings
    assert taken.witness.contents["my shop: orders"].count > 5000
    assert "no transactions" in taken.witness.ignored["my shop: old"]
    assert proven(engine, taken, tmp_path) == []


def test_a_restored_server_that_holds_something_else_is_told(server, engine, tmp_path):
    taken = take(engine)
    with engine.scratch(tmp_path, engine.inspect().facts) as place:
        restore(place, taken)
        with place.restored.running() as restored, connected(login_of(restored)) as connection:
            execute(connection, "DELETE FROM `my shop`.orders WHERE id = 7")
        assert differences(taken.witness, place.witness()) == [
            f"my shop: orders: {taken.witness.contents['my shop: orders'].count} in the source,"
            f" {taken.witness.contents['my shop: orders'].count - 1} after the restore"
        ]


def test_nothing_of_the_source_comes_to_life(server, engine, tmp_path):
    """The source has an event that deletes every second, and is a replica of somebody."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CHANGE MASTER TO MASTER_HOST='192.0.2.1', MASTER_USER='x'")
    try:
        taken = take(engine)
    finally:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("RESET SLAVE ALL")
    with engine.scratch(tmp_path, engine.inspect().facts) as place:
        restore(place, taken)
        with place.restored.running() as restored, connected(login_of(restored)) as connection:
            assert execute(connection, "SELECT @@event_scheduler, @@skip_networking") == [("OFF", 1)]
            assert execute(connection, "SHOW ALL SLAVES STATUS") == []
            assert execute(connection, "SELECT COUNT(*) > 4999 FROM `my shop`.orders") == [(1,)]


def test_it_says_where_in_the_binary_log_it_is(server, engine):
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            produced(spec)
        position = snapshot.position
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW MASTER STATUS")
        row = cursor.fetchone()
    assert (position["file"], position["position"]) == (row[0], int(row[1]))
    assert position["gtid"].startswith("0-1-")


def test_the_missing_right_is_named(server, engine):
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("REVOKE RELOAD, TRIGGER ON *.* FROM taker@localhost")
        try:
            with pytest.raises(OperationFailed, match="lacks RELOAD, TRIGGER on the whole server") as caught:
                engine.inspect()
        finally:
            cursor.execute(f"GRANT {RIGHTS} ON *.* TO taker@localhost")
    assert caught.value.hint == "GRANT RELOAD, TRIGGER ON *.* TO `taker`@`localhost`;"


def test_on_another_machine_it_says_where_it_has_to_run(engine, tmp_path):
    with pytest.raises(OperationFailed, match="runs on the server's own machine"):
        engine.replaced(directory=str(tmp_path)).inspect()


def test_a_cut_stream_does_not_restore(engine, tmp_path):
    taken = take(engine)
    spec, data = taken.parts[0]
    cut = Taken([(spec, data[: len(data) * 2 // 3]), *taken.parts[1:]], taken.witness, taken.findings)
    with engine.scratch(tmp_path, engine.inspect().facts) as place, pytest.raises(OperationFailed):
        restore(place, cut)


def test_a_restore_over_production_is_left_out_with_the_reason(engine):
    assert "by hand" in engine.for_reading
    with pytest.raises(OperationFailed, match="by hand"):
        engine.prepare(overwrite=True)
