"""What a set holds can reach nothing but the server that it is loaded into."""

import os
import socket
import tempfile
from pathlib import Path

import psycopg
import pytest

from backups.engines import postgresql as engine_module
from backups.engines.base import NoScratch
from backups.servers import confine, mariadb, postgresql
from backups.servers.confine import UNCONFINED, Confinement
from backups.servers.postgresql import Server
from drcenter.process import Command, run
from tests.live.postgresql_fixtures import engine_for
from tests.live.roundtrip import Taken, restore, take

# What a table's owner can leave behind: a function that a CHECK calls for each row that is loaded.
HOSTILE = """
CREATE FUNCTION act(a int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  COPY (SELECT 1) TO PROGRAM 'touch {mark}';
  RETURN true;
END $$;
CREATE TABLE t (a int);
INSERT INTO t VALUES (1);
ALTER TABLE t ADD CONSTRAINT quiet CHECK (act(a)) NOT VALID;
"""
PROBE = """
import os, socket
def tried(act):
    try:
        act()
        return "done"
    except OSError:
        return "refused"
def reach():
    socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
print(tried(lambda: open("OTHER")), tried(lambda: open("OWN/new", "w")), tried(reach),
      tried(lambda: os.execv("/bin/true", ["true"])), tried(lambda: os.kill(PARENT, 0)),
      tried(lambda: os.listdir("/run")))
"""


@pytest.fixture
def listener():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_set_that_runs_programs_does_not_run_them(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path
) -> None:
    mark = Path(f"/var/tmp/drc-mark-{os.getpid()}")
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute(HOSTILE.format(mark=mark).encode())
    engine = engine_for(postgresql_server, postgresql_database)
    taken = take(engine)
    with engine.scratch(tmp_path, engine.inspect().facts) as scratch:
        # NOT VALID is checked for what is loaded all the same; the load fails, or it is loaded before.
        plain = taken.text("database").encode() + b"INSERT INTO public.t VALUES (2);\n"
        with pytest.raises(Exception, match=r"could not execute command|program \"touch"):
            restore(scratch, Taken([("database", "sql", plain)]))
        assert scratch.reservations == []
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_alone_has_its_socket_only(kind: str) -> None:
    if kind == "mariadb":
        with mariadb.private_server(alone=True) as server, server.connect() as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@skip_networking, @@local_infile, LOAD_FILE('/etc/passwd')")
                assert cursor.fetchone() == (1, 0, None)
            pid, found = server.pid, server.confinement
    else:
        with postgresql.private_server(alone=True) as one, one.connect() as session:
            assert one.host == str(one.sockets)
            assert session.execute("SHOW listen_addresses").fetchone() == ("",)
            with pytest.raises(psycopg.Error, match="Permission denied"):
                session.execute("SELECT pg_read_file('/etc/hostname')")
            pid, found = one.pid, one.confinement
            assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
            assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    assert found == Confinement("none", files=True, sockets=True)
    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture
def open_directory():
    """A directory that everybody may write to, and may get to."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        os.chmod(place, 0o777)
        yield Path(place)


@pytest.mark.parametrize("ordinary", [True, False])
def test_a_program_reaches_nothing_whoever_starts_it(
    ordinary: bool, open_directory: Path, listener: int
) -> None:
    """Started by an ordinary user, and by root for another user."""
    user = "nobody" if os.geteuid() == 0 else None
    own = open_directory / "own"
    own.mkdir()
    own.chmod(0o777)
    (open_directory / "other").write_text("x")
    # An ordinary user may not be able to get to this source, and to this Python.
    script, python = open_directory / "confine.py", Path("/usr/bin/python3").resolve()
    script.write_text(Path(confine.__file__).read_text())
    probe = PROBE.replace("PORT", str(listener)).replace("OTHER", str(open_directory / "other"))
    probe = probe.replace("OWN", str(own)).replace("PARENT", str(os.getpid()))
    order = confine.confined(
        (str(python), "-I", "-S", "-c", probe), own=[own], program=python, report=own / "report",
        user=None if ordinary else user,
    )[-1]  # fmt: skip
    command = Command((str(python), "-I", "-S", str(script), order), user=user if ordinary else None)
    assert run(command).stdout.decode().strip() == "refused done refused refused refused refused"
    assert confine.confinement(own / "report") == Confinement("none", files=True, sockets=True)


def test_without_landlock_an_ordinary_worker_does_not_prove_unless_it_is_allowed(
    settings, monkeypatch
) -> None:
    server = postgresql.Server(1, Path(), Path(), 15, 1)
    monkeypatch.setattr(engine_module.os, "geteuid", lambda: 1000)
    settings.PROVE_AS_SELF = False
    with pytest.raises(NoScratch, match="own user") as caught:
        engine_module._check_confined(server)
    assert "DRC_PROVE_AS_SELF=True" in caught.value.hint
    settings.PROVE_AS_SELF = True
    engine_module._check_confined(server)


def test_what_does_not_hold_is_said() -> None:
    assert len(UNCONFINED.reservations) == 3
    assert "TCP was forbidden" in Confinement("no TCP", files=True, sockets=True).reservations[0]
    assert Confinement("none", files=True, sockets=True).reservations == []
