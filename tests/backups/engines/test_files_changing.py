"""Trees that change while they are read, and what cannot be stored."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backups.engines.base import NoScratch
from backups.witness import differences
from tests.backups.engines.taking import restore, take
from tests.backups.engines.trees import ODD_NAMES, ROOT, described, engine_for, site

__all__ = ["site"]


def test_a_file_that_changes_meanwhile_is_stored_again(site, tmp_path):
    def between(name):
        if name == "tree":
            (site / "sub" / "data").write_bytes(b"newer")
            (site / "sub" / "added").write_bytes(b"added")
            (site / "setuid").unlink()
            os.unlink(os.fsencode(site) + b"/" + ODD_NAMES[0])

    engine = engine_for(site)
    taken = take(engine, between)
    assert taken.names == ["tree", "tree-retry-1"]
    assert taken.witness.ignored["setuid"].startswith("vanished")
    assert any("vanished" in finding.message for finding in taken.findings)
    assert not [finding for finding in taken.findings if finding.caps]
    place = engine.beside("copy")
    restore(place, taken)
    assert described(Path(place.path)) == described(site)
    assert differences(taken.witness, place.witness()) == []


def test_a_file_that_never_rests_is_named(site):
    rounds = []

    def between(name):
        rounds.append(name)
        with open(site / "growing.log", "a") as file:
            file.write(name)

    (site / "growing.log").write_text("begin")
    engine = engine_for(site)
    taken = take(engine, between)
    assert taken.names == ["tree", "tree-retry-1", "tree-retry-2", "tree-retry-3"]
    assert set(taken.witness.ignored) >= {"growing.log"}
    assert "growing.log" not in taken.witness.contents
    assert any("growing.log" in finding.message and not finding.caps for finding in taken.findings)
    place = engine.beside("copy")
    restore(place, taken)
    assert differences(taken.witness, place.witness()) == []
    assert (Path(place.path) / "growing.log").read_text().startswith("begintree")


def test_a_file_that_grows_while_it_is_read(site):
    """A real writer beside a real tar."""
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time\nf=open(sys.argv[1],'ab',buffering=0)\nwhile True: f.write(b'x'*65536); time.sleep(.001)",
            site / "log",
        ]
    )
    try:
        while not (site / "log").exists():
            pass
        taken = take(engine_for(site))
    finally:
        writer.kill()
        writer.wait()
    assert "log" in taken.witness.ignored
    assert any("log" in finding.message for finding in taken.findings)


def test_a_socket_is_left_out(site):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(site / "s"))
        engine = engine_for(site)
        taken = take(engine)
        assert "s" not in taken.witness.contents
        restore(engine, taken, overwrite=True)
        assert (site / "s").exists()


@pytest.fixture
def ordinary():
    """A directory of an ordinary user, as whom the test goes on: root reads everything."""
    directory = Path(tempfile.mkdtemp(prefix="ordinary-"))
    (directory / "site").mkdir()
    (directory / "site" / "readable").write_text("x")
    take(engine_for(directory / "site"))  # imports now what the ordinary user may not read
    if ROOT:
        subprocess.run(["chown", "-R", "65534:65534", directory], check=True)
        groups = os.getgroups()
        os.setgroups([])
        # Root waits in the saved identity only: a shell gives up an effective one that is not the real one.
        os.setresgid(65534, 65534, 0)
        os.setresuid(65534, 65534, 0)
    try:
        yield directory
    finally:
        if ROOT:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups(groups)
        subprocess.run(["chmod", "-R", "u+rwX", directory], check=True)
        shutil.rmtree(directory)


def test_what_cannot_be_read_caps_the_set(ordinary, settings):
    settings.STATE_DIR = ordinary / "state"
    root = ordinary / "site"
    (root / "closed").mkdir()
    (root / "closed" / "inside").write_text("x")
    (root / "secret").write_text("x")
    (root / "closed").chmod(0o000)
    (root / "secret").chmod(0o000)
    engine = engine_for(root)
    inspection = engine.inspect()
    assert inspection.capped
    assert not inspection.facts["root"]
    taken = take(engine)
    assert taken.names == ["tree"]
    [finding] = [finding for finding in taken.findings if finding.caps]
    assert finding.message == "2 paths cannot be read: Permission denied: closed, secret"
    assert "setfacl" in finding.hint
    assert taken.witness.ignored.keys() == {"closed", "secret", "/owners"}
    place = engine.beside("copy")
    restore(place, taken)
    assert differences(taken.witness, place.witness()) == []
    restore(engine, taken, overwrite=True)
    (root / "closed").chmod(0o700)
    assert (root / "closed" / "inside").exists(), "what the set could not hold is not removed"


def test_an_ordinary_user_gets_a_round_trip(ordinary, settings):
    settings.STATE_DIR = ordinary / "state"
    root = ordinary / "site"
    (root / "sub").mkdir(mode=0o555)
    (root / "file").write_text("x")
    (root / "file").chmod(0o4640)
    os.setxattr(root / "file", "user.a", b"b")
    engine = engine_for(root)
    taken = take(engine)
    (root / "file").unlink()
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o4640
    with pytest.raises(NoScratch, match="taken as root"), engine.scratch(ordinary, {"root": True}):
        pass
