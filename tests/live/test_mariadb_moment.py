"""One moment for dump and witness while others write, and what happens when it cannot be had."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups.engines import _mariadb_snapshot as snapshots
from backups.servers.mariadb import private_server
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import Database, database, filled, mariadb_server
from tests.live.roundtrip import Taken, collect, restore, restored, take

__all__ = ["database", "filled", "mariadb_server"]


class Writer(threading.Thread):
    """Moves money between two tables in single transactions, and draws numbers, until stopped."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self.database = database
        self.stopped = threading.Event()
        self.transactions = 0

    def run(self) -> None:
        with self.database.server.connect(self.database.name) as connection, connection.cursor() as cursor:
            connection.autocommit(False)
            while not self.stopped.is_set():
                cursor.execute("INSERT INTO a (v) VALUES (-1)")
                cursor.execute("INSERT INTO b (v, f) VALUES (1, 16777216)")
                cursor.execute("DO NEXTVAL(numbers)")
                connection.commit()
                self.transactions += 1

    def __enter__(self) -> "Writer":
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopped.set()
        self.join()


BUSY = [
    "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, v INT)",
    "CREATE TABLE b (id INT AUTO_INCREMENT PRIMARY KEY, v INT, f FLOAT)",
    "CREATE SEQUENCE numbers CACHE 1",
    "CREATE TABLE much (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(200))",
    "INSERT INTO much (t) SELECT REPEAT('x', 200) FROM seq_1_to_60000",
]


def test_dump_and_witness_agree_beside_a_busy_writer(database: Database, tmp_path: Path) -> None:
    database.fill(BUSY)
    engine = database.engine()
    facts = engine.inspect().facts
    with Writer(database) as writer:
        while writer.transactions < 20:
            time.sleep(0.01)
        taken = take(engine)
        at_end = writer.transactions
    with restored(engine, taken, tmp_path, facts) as scratch:
        assert differences(taken.witness, scratch.witness()) == []
        counts = scratch.counts(["a", "b"])
    assert counts["a"] == counts["b"], "no transaction is cut in two"
    assert counts["a"] < at_end, "the writer went on while the dump was read"
    assert "auto_increment a" in taken.witness.ignored


def test_writers_wait_for_an_instant_only(database: Database) -> None:
    database.fill(BUSY)
    slowest = 0.0
    stopped = threading.Event()

    def write() -> None:
        nonlocal slowest
        while not stopped.is_set():
            began = time.monotonic()
            database.execute("INSERT INTO a (v) VALUES (1)")
            slowest = max(slowest, time.monotonic() - began)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    take(database.engine(), on_block=lambda _spec, _block: time.sleep(0.01))
    stopped.set()
    thread.join()
    assert slowest < 2, "on a loaded machine; some 20 ms on an idle one"


def test_a_long_writing_transaction_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.fill(["CREATE TABLE t (id INT PRIMARY KEY)"])
    monkeypatch.setattr(snapshots, "LOCK_WAIT_SECONDS", 1)
    monkeypatch.setattr(snapshots, "LOCK_ATTEMPTS", 1)
    with database.server.connect(database.name) as blocker, blocker.cursor() as cursor:
        blocker.begin()
        cursor.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(OperationFailed, match="has been writing"):
            take(database.engine())
        blocker.commit()
    database.execute("INSERT INTO t VALUES (2)")
    assert take(database.engine()).witness.contents["t"].count == 2


def test_the_lock_is_let_go_when_the_dump_does_not_begin(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "HOLD_SECONDS", 0.3)
    with filled.engine().snapshot() as snapshot:
        parts = snapshot.parts()
        next(parts)
        begin = next(parts).producers[0]
        assert callable(begin)
        list(begin())
        filled.execute("SET lock_wait_timeout = 5")
        filled.execute("UPDATE customers SET name = 'waited' WHERE id = 1")
        with pytest.raises(OperationFailed, match="had not begun"):
            next(parts)


def test_the_lock_is_let_go_when_the_taker_gives_up(filled: Database) -> None:
    with filled.engine().snapshot() as snapshot:
        parts = snapshot.parts()
        next(parts)
        begin = next(parts).producers[0]
        assert callable(begin)
        list(begin())
    filled.execute("UPDATE customers SET name = 'free' WHERE id = 1")


def test_a_part_can_be_taken_again(filled: Database) -> None:
    """The store broke off: the same part is read anew, of a new moment."""
    engine = filled.engine()
    taken = Taken()
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            if spec.name == "database":
                collect(spec)
                filled.execute("INSERT INTO files VALUES (9, 'later', 'later')")
            taken.parts.append((spec.name, spec.suffix, collect(spec)))
        taken.witness = snapshot.witness()
    copy = engine.beside(f"{filled.name}_copy")
    restore(copy, taken)
    assert differences(taken.witness, copy.witness()) == []
    assert taken.witness.contents["files"].count == 4


def test_a_table_altered_in_the_middle_is_an_error_to_try_again(database: Database) -> None:
    database.fill(["CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)"])
    with database.engine().snapshot() as snapshot:
        for spec in snapshot.parts():
            collect(spec)
        database.execute("ALTER TABLE t ADD COLUMN more INT, ADD KEY (more), ALGORITHM=COPY")
        with pytest.raises(OperationFailed, match="1412") as caught:
            snapshot.witness()
    assert not caught.value.permanent


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database in a server of its own, without a binary log, that a test may kill."""
    with private_server() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE doomed CHARACTER SET utf8mb4")
        yield Database(server, "doomed", monkeypatch)


def test_a_server_that_dies_in_the_middle_is_seen(doomed: Database) -> None:
    doomed.fill([
        "CREATE TABLE much (id INT AUTO_INCREMENT PRIMARY KEY, t VARCHAR(1000))",
        "INSERT INTO much (t) SELECT REPEAT('x', 1000) FROM seq_1_to_40000",
    ])  # fmt: skip
    read = 0

    def kill(_spec: object, block: bytes) -> None:
        nonlocal read
        read += len(block)
        if read > 1 << 20:
            os.kill(doomed.server.pid, signal.SIGKILL)

    with pytest.raises(OperationFailed, match="mariadb-dump failed with exit code 3"):
        take(doomed.engine(), on_block=kill)


def test_without_a_binary_log_there_is_one_moment_too(doomed: Database, tmp_path: Path) -> None:
    doomed.fill(BUSY)
    engine = doomed.engine()
    with Writer(doomed) as writer:
        while writer.transactions < 20:
            time.sleep(0.01)
        taken = take(engine)
    assert taken.position == {}
    restore(engine.beside("copy"), taken)
    assert differences(taken.witness, engine.beside("copy").witness()) == []


def test_sessions_of_the_snapshot_are_closed(filled: Database) -> None:
    take(filled.engine())
    deadline = time.monotonic() + 5
    count = (
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
    )
    while filled.execute(count) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
