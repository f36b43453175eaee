"""Redis: a real server, dumped while it works, and loaded again."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backups.engines._redis_server import Reach, dump_command
from backups.engines.redis import Options, Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import Command, start
from drcenter.secrets import Secret
from tests.backups.engines.taking import restore, take

PASSWORD = "sesame-open-0815"


@dataclass
class Server:
    """A server of this test, with a password, which it can stop and start again."""

    directory: Path
    port: int

    def __post_init__(self) -> None:
        (self.directory / "redis.conf").write_text(
            f'port {self.port}\nbind 127.0.0.1\ndir {self.directory}\nsave ""\nrequirepass {PASSWORD}\n'
        )

    def up(self):
        return start(Command(("redis-server", str(self.directory / "redis.conf"))), stdout=subprocess.DEVNULL)

    def cli(self, *words: str) -> str:
        argv = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(
            argv, env={**os.environ, "REDISCLI_AUTH": PASSWORD}, capture_output=True, text=True, check=True
        ).stdout.strip()

    def wait(self) -> None:
        for _try in range(200):
            try:
                if self.cli("PING") == "PONG":
                    return
            except subprocess.CalledProcessError:
                pass
            time.sleep(0.05)
        raise AssertionError("redis-server did not come up")


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "redis").mkdir()
    made = Server(tmp_path / "redis", port)
    with made.up() as child:
        made.wait()
        for number in range(200):
            made.cli("SET", f"key:{number}", f"value {number}") if number < 5 else None
        made.cli("EVAL", "for i=1,5000 do redis.call('HSET','order:'..i,'total',i) end return 1", "0")
        made.cli("-n", "3", "SET", "session", "soon gone", "EX", "3600")
        made.cli("-n", "3", "SET", "kept", "for ever")
        yield made
        child.kill()


@pytest.fixture
def engine(server, tmp_path, monkeypatch) -> Plugin:
    monkeypatch.setenv("DRC_TEST_REDIS", PASSWORD)
    given = {
        "port": server.port,
        "password": "env:DRC_TEST_REDIS",
        "file": str(server.directory / "dump.rdb"),
    }
    return Plugin(validated(Options, given))


def test_it_is_taken_and_proven(engine, tmp_path):
    inspection = engine.inspect()
    assert inspection.facts["keys"] == 5007 and inspection.size > 100_000
    taken = take(engine)
    assert {name: one.count for name, one in taken.witness.contents.items()} == {"db0": 5005, "db3": 1}
    assert taken.witness.ignored == {}
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", inspection.facts) as place:
        place.prepare(overwrite=False)
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
    assert not list((tmp_path / "w").iterdir())


def test_a_file_that_is_damaged_does_not_load(engine, tmp_path):
    taken = take(engine)
    [(spec, data)] = taken.parts
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    for number, broken in enumerate((bytes(flipped), data[: len(data) // 2], b"-ERR no dump for you at all")):
        (tmp_path / f"w{number}").mkdir()
        taken.parts[0] = (spec, broken)
        with engine.scratch(tmp_path / f"w{number}", {}) as place, pytest.raises(OperationFailed):
            restore(place, taken)
            place.witness()


def test_lost_keys_are_seen(engine, server, tmp_path):
    taken = take(engine)
    server.cli("DEL", "key:1", "key:2")
    less = take(engine)
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", {}) as place:
        restore(place, less)
        assert differences(taken.witness, place.witness()) == [
            "db0: 5005 in the source, 5003 after the restore"
        ]


def test_a_database_that_moves_is_not_compared_and_named(engine, server):
    with engine.snapshot() as snapshot:
        list(snapshot.parts())
        server.cli("SET", "another", "1")
        witness = snapshot.witness()
    assert set(witness.ignored) == {"db0"} and "changed" in witness.ignored["db0"]


def test_over_production_only_while_it_is_stopped(engine, server):
    taken = take(engine)
    with pytest.raises(OperationFailed, match="runs: when it stops") as caught:
        engine.prepare(overwrite=True)
    assert "systemctl stop redis-server" in caught.value.hint
    server.cli("FLUSHALL")
    server.cli("SHUTDOWN", "NOSAVE")
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    with server.up() as child:
        server.wait()
        assert (server.cli("GET", "key:3"), server.cli("-n", "3", "GET", "kept")) == ("value 3", "for ever")
        assert server.cli("HGET", "order:4711", "total") == "4711"
        child.kill()


def test_an_append_only_file_beside_it_is_refused(engine, server):
    taken = take(engine)
    server.cli("CONFIG", "SET", "appendonly", "yes")
    while (
        "aof_rewrite_in_progress:0" not in (told := server.cli("INFO", "persistence"))
        or "aof_rewrite_scheduled:1" in told
    ):
        time.sleep(0.05)
    assert any("append-only" in finding.message for finding in engine.inspect().findings)
    server.cli("SHUTDOWN", "NOSAVE")
    with pytest.raises(OperationFailed, match="appendonlydir"):
        restore(engine, taken, overwrite=True)


def test_beside_is_a_file_that_must_not_exist(engine, server):
    taken = take(engine)
    place = engine.beside("copy.rdb")
    restore(place, taken)
    assert differences(taken.witness, place.witness()) == []
    assert (server.directory / "copy.rdb").stat().st_mode & 0o077 == 0
    with pytest.raises(OperationFailed, match="exists already"):
        engine.beside("copy.rdb").prepare(overwrite=False)


def test_the_password_is_nowhere_to_be_seen(engine, server):
    """Neither in the list of processes nor in the environment of redis-cli, while it waits for the server."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        reach = Reach("127.0.0.1", silent.getsockname()[1], "", "", Secret(PASSWORD))
        with start(dump_command(reach)) as child:
            connection, _address = silent.accept()
            with connection:
                assert connection.recv(100)
                seen = b"".join(
                    Path(f"/proc/{child.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
                )
    assert b"redis-cli" in seen and PASSWORD.encode() not in seen


def test_a_wrong_password_is_a_sentence(engine, monkeypatch):
    monkeypatch.setenv("DRC_TEST_REDIS", "wrong-as-wrong")
    with pytest.raises(OperationFailed, match=r"does not let us in|cannot be reached") as caught:
        engine.inspect()
    assert "wrong-as-wrong" not in str(caught.value)


def test_a_server_that_is_away_is_a_sentence(engine, server):
    server.cli("SHUTDOWN", "NOSAVE")
    with pytest.raises(OperationFailed, match="cannot be reached"):
        engine.inspect()
