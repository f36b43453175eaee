"""Base backups of a real server under load: restored, recovered to the moment of the witness, compared row by row."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backups.engines._postgresql_address import address_of, connected
from backups.engines.base import Engine
from backups.engines.postgresql_physical import Plugin
from backups.servers.postgresql import Server, private_server
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.taking import Taken, produced, restore, take


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server(settings={"wal_level": "replica", "max_wal_senders": "5"}) as server:
        with server.connect() as connection:
            connection.execute('CREATE DATABASE "my shop"')
            connection.execute("CREATE ROLE taker LOGIN REPLICATION PASSWORD 'x'")
        with server.connect("my shop") as connection:
            connection.execute(
                "CREATE TABLE orders (id serial PRIMARY KEY, text text, at timestamptz DEFAULT now());"
                "CREATE UNLOGGED TABLE cache (a int); INSERT INTO cache VALUES (1);"
                "INSERT INTO orders (text) SELECT repeat('a', 100) FROM generate_series(1, 5000)"
            )
        yield server


@pytest.fixture
def engine(server: Server) -> Plugin:
    return Plugin(server.options("postgres"))


@contextmanager
def writers(server: Server, count: int) -> Iterator[None]:
    over = threading.Event()

    def write() -> None:
        with server.connect("my shop") as connection:
            while not over.is_set():
                connection.execute("INSERT INTO orders (text) VALUES ('b')")

    threads = [threading.Thread(target=write) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def spoiled(taken: Taken) -> Taken:
    """A flipped bit in the middle of the table's rows."""
    spec, data = taken.parts[0]
    at = data.index(b"a" * 100)
    return Taken([(spec, data[:at] + b"e" + data[at + 1 :]), *taken.parts[1:]], taken.witness, taken.findings)


def rows(place: Engine) -> int:
    contents = place.witness().contents
    return contents["my shop: public.orders"].count


def test_under_load_the_restored_server_is_equal_to_the_source_at_its_moment(server, engine, tmp_path):
    facts = engine.inspect().facts
    with writers(server, 3):
        taken = take(engine)
    assert not taken.findings
    with engine.scratch(tmp_path, facts) as place:
        restore(place, taken)
        found = place.witness()
        assert differences(taken.witness, found) == []
        assert found.contents["my shop: public.orders"].count > 5000
    assert "UNLOGGED" in taken.witness.ignored["my shop: public.cache"]


def test_it_says_where_in_the_log_it_is(engine):
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            produced(spec)
        snapshot.witness()
        position = snapshot.position
    assert position["timeline"] == 1
    assert position["system_identifier"] == engine.inspect().facts["system_identifier"]
    places = [int(position[name].replace("/", ""), 16) for name in ("start", "stop", "lsn", "end")]
    assert places == sorted(places)


def test_a_byte_that_is_not_what_the_server_sent_is_found(engine, tmp_path):
    taken = spoiled(take(engine))
    with (
        engine.scratch(tmp_path, engine.inspect().facts) as place,
        pytest.raises(OperationFailed, match="checksum"),
    ):
        restore(place, taken)


def test_nothing_of_the_source_comes_to_life(server, engine, tmp_path):
    with server.connect() as connection:
        connection.execute("ALTER SYSTEM SET archive_command = 'touch /tmp/drcenter-archived'")
        connection.execute("ALTER SYSTEM SET session_preload_libraries = 'auto_explain'")
    try:
        taken = take(engine)
    finally:
        with server.connect() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
    with engine.scratch(tmp_path, engine.inspect().facts) as place:
        restore(place, taken)
        recovered = place.restored.start()
        with connected(address_of(recovered.options("postgres"))) as connection:
            for name in ("archive_command", "session_preload_libraries", "archive_mode"):
                value = connection.execute(f"SHOW {name}".encode()).fetchone()
                assert value[0] in {"", "(disabled)", "off"}, name


def test_who_may_not_replicate_gets_the_sentence(server, engine):
    with server.connect() as connection:
        connection.execute("ALTER ROLE taker NOREPLICATION")
    try:
        poor = engine.replaced(user="taker", password="env:DRC_TEST_TAKER")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DRC_TEST_TAKER", "x")
            with pytest.raises(OperationFailed, match="may not replicate") as caught:
                poor.inspect()
        assert 'ALTER ROLE "taker" REPLICATION' in caught.value.hint
    finally:
        with server.connect() as connection:
            connection.execute("ALTER ROLE taker REPLICATION")


def test_a_restore_over_production_is_left_out_with_the_reason(engine):
    assert "by hand" in engine.for_reading
    with pytest.raises(OperationFailed, match="by hand"):
        engine.prepare(overwrite=True)
