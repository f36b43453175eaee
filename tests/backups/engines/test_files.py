"""The engine for files: round trips with everything a file system can hold, and trees that change."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backups.engines._files_tree import Tree
from backups.engines.base import NoScratch
from backups.engines.files import Options, Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.engines.taking import restore, take

ROOT = os.geteuid() == 0
ODD_NAMES = [
    b"\xff\xfe not utf-8",
    b"line\nbreak",
    "smile 😀 ü".encode(),
    b"-rf",
    b"back\\slash\\n",
    b" ",
    b"*?[x]",
    b"a'\"b",
]


@pytest.fixture
def site(tmp_path):
    """A directory with every kind of thing that tar can bring back."""
    root = tmp_path / "site"
    root.mkdir()
    for number, name in enumerate(ODD_NAMES):
        place = os.fsencode(root) + b"/" + name
        with open(place, "wb") as file:
            file.write(b"odd %d" % number)
    os.makedirs(os.fsencode(root) + b"/dir\xff/empty")
    (root / "sub").mkdir(mode=0o750)
    (root / "sub" / "data").write_bytes(os.urandom(3 << 20))
    os.link(root / "sub" / "data", root / "also")
    os.symlink("/nowhere/at/all", root / "dangling")
    os.symlink("/etc/hostname", root / "absolute")
    os.symlink("sub", root / "link-to-directory")
    os.mkfifo(root / "pipe")
    with open(root / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"island")
    (root / "setuid").write_bytes(b"#!/bin/sh\n")
    os.chmod(root / "setuid", 0o4751)
    os.chmod(root / "sub", 0o2770)
    os.setxattr(root / "also", "user.comment", b"\0binary\xff")
    subprocess.run(["setfacl", "-m", "u:12345:rx", root / "setuid"], check=True)
    subprocess.run(["setfacl", "-m", "d:u:12345:rwx", root / "sub"], check=True)
    os.utime(root / "setuid", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "dangling", ns=(1, 987_654_321_000_000_001), follow_symlinks=False)
    os.utime(root / "sub", ns=(1, 1_111_111_111_222_222_222))
    if ROOT:
        os.chown(root / "setuid", 1234, 2345)
        os.chmod(root / "setuid", 0o4751)
        os.utime(root / "setuid", ns=(1, 1_234_567_890_123_456_789))
    return root


def described(root: Path) -> dict[bytes, tuple]:
    """All that this test can see of a tree, found out in another way than the engine's."""
    found: dict[bytes, tuple] = {}
    first: dict[int, bytes] = {}
    top = os.fsencode(root)
    for directory, names, files in os.walk(top):
        for name in sorted(names + files):
            place = os.path.join(directory, name)
            state = os.lstat(place)
            kind = stat.S_IFMT(state.st_mode)
            what = b""
            if stat.S_ISREG(state.st_mode):
                with open(place, "rb") as file:
                    what = file.read()
            elif stat.S_ISLNK(state.st_mode):
                what = os.readlink(place)
            attributes = sorted(
                (key, os.getxattr(place, key, follow_symlinks=False))
                for key in os.listxattr(place, follow_symlinks=False)
            )
            path = os.path.relpath(place, top)
            group = first.setdefault(state.st_ino, path)
            found[path] = (
                kind, stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid, state.st_mtime_ns, what, attributes, group,
            )  # fmt: skip
    return found


def engine_for(root: Path, **options) -> Plugin:
    return Plugin(validated(Options, {"path": str(root), **options}))


def test_a_round_trip_brings_back_every_kind_of_thing(site, tmp_path):
    before = described(site)
    engine = engine_for(site)
    taken = take(engine)
    assert taken.names == ["tree"]
    assert not [finding for finding in taken.findings if finding.caps]
    place = engine.beside("site-restored")
    restore(place, taken)
    assert described(tmp_path / "site-restored") == before
    assert differences(taken.witness, place.witness()) == []
    sparse = (tmp_path / "site-restored" / "sparse").stat()
    assert sparse.st_blocks * 512 < 5 << 20
    place.drop()
    assert not (tmp_path / "site-restored").exists()


def test_changed_and_deleted_files_come_back_over_the_tree(site):
    before = described(site)
    engine = engine_for(site)
    taken = take(engine)
    (site / "sub" / "data").write_bytes(b"changed")
    (site / "setuid").unlink()
    (site / "dangling").unlink()
    (site / "dangling").mkdir()
    (site / "new").mkdir()
    (site / "new" / "file").write_text("x")
    (site / "sub" / "stray").write_text("x")
    os.unlink(os.fsencode(site) + b"/" + ODD_NAMES[0])
    os.chmod(site / "sub", 0o700)
    restore(engine, taken, overwrite=True)
    assert described(site) == before
    assert differences(taken.witness, engine.witness()) == []


def test_what_became_a_directory_is_replaced_when_room_is_made_first(site):
    engine = engine_for(site)
    taken = take(engine)
    before = described(site)
    (site / "dangling").unlink()
    (site / "dangling").mkdir()
    (site / "dangling" / "file").write_text("x")
    engine.make_room(taken.witness)
    restore(engine, taken, overwrite=True)
    assert described(site) == before


@pytest.mark.parametrize(
    "change", ["contents", "mode", "mtime", "link", "xattr", "acl", "extra", "missing", "hard link"]
)
def test_the_witness_sees_each_difference(site, change):
    engine = engine_for(site)
    taken = take(engine)
    place = engine.beside("copy")
    restore(place, taken)
    copy = Path(place.path)
    state = (copy / "setuid").stat()
    if change == "contents":
        (copy / "setuid").write_bytes(b"#!/bin/zz\n")
        os.chmod(copy / "setuid", 0o4751)
        os.utime(copy / "setuid", ns=(state.st_atime_ns, state.st_mtime_ns))
    elif change == "mode":
        os.chmod(copy / "setuid", 0o0751)
    elif change == "mtime":
        os.utime(copy / "setuid", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    elif change == "link":
        (copy / "absolute").unlink()
        os.symlink("/etc/hostnamf", copy / "absolute")
        old = os.lstat(site / "absolute")
        os.utime(copy / "absolute", ns=(1, old.st_mtime_ns), follow_symlinks=False)
    elif change == "xattr":
        os.removexattr(copy / "also", "user.comment")
    elif change == "acl":
        subprocess.run(["setfacl", "-x", "u:12345", copy / "setuid"], check=True)
    elif change == "extra":
        (copy / "extra").write_text("")
    elif change == "missing":
        (copy / "also").unlink()
    else:
        data = (copy / "also").stat()
        (copy / "also").unlink()
        (copy / "also").write_bytes((copy / "sub" / "data").read_bytes())
        os.setxattr(copy / "also", "user.comment", b"\0binary\xff")
        os.utime(copy / "also", ns=(1, data.st_mtime_ns))
    names = {"contents": "setuid", "mode": "setuid", "mtime": "setuid", "acl": "setuid", "link": "absolute",
             "xattr": "also", "extra": "extra", "missing": "also", "hard link": "also"}  # fmt: skip
    assert any(line.startswith(names[change] + ":") for line in differences(taken.witness, place.witness()))


def test_excludes_are_not_stored_and_not_touched(site):
    (site / "vendor").mkdir()
    (site / "vendor" / "x").write_text("x")
    (site / "logs").mkdir()
    (site / "logs" / "a.log").write_text("x")
    (site / "logs" / "a.txt").write_text("x")
    (site / "sub" / "node_modules").mkdir()
    engine = engine_for(site, exclude=["./vendor/", "logs/*.log", "**/node_modules"])
    taken = take(engine)
    names = set(taken.witness.contents)
    assert "logs/a.txt" in names
    assert not names & {"vendor", "vendor/x", "logs/a.log", "sub/node_modules"}
    restore(engine, taken, overwrite=True)
    assert (site / "vendor" / "x").exists()
    assert (site / "logs" / "a.log").exists()
    place = engine.beside("copy")
    restore(place, taken)
    assert not (Path(place.path) / "vendor").exists()
    assert differences(taken.witness, place.witness()) == []


def test_only_what_is_named_is_stored_and_touched(site):
    (site / ".env").write_text("A=1")
    (site / ".env.testing").write_text("A=2")
    engine = engine_for(site, only=[".env*", "sub"])
    taken = take(engine)
    assert set(taken.witness.contents) == {".", ".env", ".env.testing", "sub", "sub/data"}
    (site / ".env").write_text("A=changed")
    (site / ".env.new").touch()
    (site / "stranger").touch()
    restore(engine, taken, overwrite=True)
    assert (site / ".env").read_text() == "A=1"
    assert not (site / ".env.new").exists()
    assert (site / "stranger").exists()
    assert (site / "also").exists()


def test_only_takes_names_of_the_directory_itself(site):
    with pytest.raises(OperationFailed, match="only:"):
        engine_for(site, only=["sub/data"])


@pytest.mark.parametrize("in_the_set", [False, True])
def test_the_marker_of_maintenance_mode_survives(site, in_the_set):
    marker = site / "storage" / "framework" / "down"
    marker.parent.mkdir(parents=True)
    if in_the_set:
        marker.write_text("old")
    engine = engine_for(site, keep=["storage/framework/down"])
    taken = take(engine)
    marker.write_text("now")
    state = marker.stat()
    (marker.parent / "stray").write_text("x")
    restore(engine, taken, overwrite=True)
    assert marker.read_text() == "now"
    assert marker.stat().st_ino == state.st_ino
    assert not (marker.parent / "stray").exists()
    assert differences(taken.witness, engine.witness()) == []


def test_a_planted_link_leads_nowhere(site, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_text("precious")
    engine = engine_for(site)
    taken = take(engine)
    (site / "sub" / "data").unlink()
    (site / "sub").rmdir()
    os.symlink(outside, site / "sub")
    (site / "setuid").unlink()
    os.symlink(outside / "data", site / "setuid")
    os.symlink(outside, site / "stray")
    restore(engine, taken, overwrite=True)
    assert [path.name for path in outside.iterdir()] == ["data"]
    assert (outside / "data").read_text() == "precious"
    assert not (site / "sub").is_symlink()
    assert differences(taken.witness, engine.witness()) == []


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


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "site"])
def test_beside_refuses_what_is_no_other_place(site, name):
    with pytest.raises(OperationFailed):
        engine_for(site).beside(name)


def test_prepare_without_overwrite_refuses_a_full_directory(site):
    with pytest.raises(OperationFailed, match="not empty") as caught:
        engine_for(site).prepare(overwrite=False)
    assert caught.value.permanent


def test_a_missing_directory_is_told(tmp_path):
    engine = engine_for(tmp_path / "none")
    with pytest.raises(OperationFailed, match="No such file") as caught:
        engine.inspect()
    assert caught.value.permanent
    with pytest.raises(OperationFailed), engine.snapshot() as snapshot:
        list(snapshot.parts())


def test_finish_removes_nothing_for_the_witness_of_something_else(site):
    from backups.witness import Witness

    before = described(site)
    with pytest.raises(OperationFailed, match="nothing was removed"):
        engine_for(site).finish(Witness())
    assert described(site) == before


def test_inspect_counts(site):
    inspection = engine_for(site).inspect()
    assert inspection.facts["root"] == ROOT
    assert 3 << 20 < inspection.size < 5 << 20
    assert inspection.facts["entries"] == len(described(site)) + 1
    assert not inspection.capped
    assert engine_for(site).counts([".", "sub"]) == {".": len(described(site)), "sub": 1}
    with pytest.raises(OperationFailed):
        engine_for(site).counts(["../.."])


def test_scratch_needs_room(site, tmp_path):
    with pytest.raises(NoScratch, match="free"), engine_for(site).scratch(tmp_path, {"size": 1 << 60}):
        pass
    with engine_for(site).scratch(tmp_path, engine_for(site).inspect().facts) as place:
        taken = take(engine_for(site))
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert Path(place.path).parent == tmp_path
    assert not Path(place.path).exists()


@pytest.mark.parametrize("path", ["relative", "/", "//", "/.."])
def test_the_form_refuses_paths(path):
    with pytest.raises(OperationFailed, match="path"):
        validated(Options, {"path": path})


@pytest.mark.parametrize("name", ["exclude", "keep"])
def test_the_form_refuses_to_leave_the_directory(name):
    with pytest.raises(OperationFailed, match=name):
        validated(Options, {"path": "/srv", name: ["a/../../b"]})


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


def test_links_with_several_names_and_devices(tmp_path):
    root = tmp_path / "site"
    root.mkdir()
    os.symlink("target", root / "a")
    os.link(root / "a", root / "b", follow_symlinks=False)
    if ROOT:
        os.mknod(root / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    before = described(root)
    engine = engine_for(root)
    taken = take(engine)
    restore(engine.beside("copy"), taken)
    assert described(tmp_path / "copy") == before
    assert differences(taken.witness, engine.beside("copy").witness()) == []


def test_a_directory_that_lost_its_acl_and_gained_another(site):
    """What a restore finds on directories that stayed must not outlive it."""
    engine = engine_for(site)
    taken = take(engine)
    subprocess.run(["setfacl", "-b", "-k", site / "sub"], check=True)
    subprocess.run(["setfacl", "-m", "u:54321:rwx", os.fsencode(site) + b"/dir\xff"], check=True)
    restore(engine, taken, overwrite=True)
    assert differences(taken.witness, engine.witness()) == []


def test_many_stale_files_and_deep_directories_go(site):
    engine = engine_for(site)
    taken = take(engine)
    deep = site / "stale"
    for number in range(300):
        deep = deep / f"d{number % 10}"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    restore(engine, taken, overwrite=True)
    assert not (site / "stale").exists()


@pytest.mark.parametrize("alone", [True, False])
def test_another_file_system_is_looked_into_only_if_asked(alone):
    """Every Linux mounts devpts on a directory of /dev."""
    paths = {entry.path for entry in Tree.of("/dev", [], [], alone).walk()}
    assert b"pts" in paths, "the place where it is mounted belongs to the tree"
    assert (b"pts/ptmx" in paths) != alone


def test_a_tree_that_is_a_link_is_followed_once(site, tmp_path):
    """Deployments point `current` at a release."""
    (tmp_path / "current").symlink_to(site)
    engine = engine_for(tmp_path / "current")
    before = described(site)
    taken = take(engine)
    (site / "setuid").unlink()
    restore(engine, taken, overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert described(site) == before
    engine.drop()
    assert site.exists()


def test_the_documented_command_restores_without_the_product(site, tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "engines" / "files.md").read_text()
    command = text[text.index("LC_ALL=C tar") :].split("\n\n")[0]
    [(_, data)] = take(engine_for(site)).parts
    (tmp_path / "tree.tar").write_bytes(data)
    (tmp_path / "PLACE").mkdir()
    if not ROOT:
        command = command.replace("--same-owner", "--no-same-owner")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert described(tmp_path / "PLACE") == described(site)
