"""The engine for files: round trips with everything a file system can hold."""

import itertools
import os
import stat
import subprocess
from pathlib import Path

import pytest

from backups.engines._files_tree import Tree
from backups.witness import differences
from tests.backups.engines.taking import restore, take
from tests.backups.engines.trees import ODD_NAMES, ROOT, described, engine_for, site

__all__ = ["site"]


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


def test_what_is_alike_stands_together_behind_the_directories(tmp_path):
    """What is packed already does not stand between what can be packed."""
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    for number in range(30):
        (site / f"{number}.{'jpg' if number % 2 else 'txt'}").write_text("x")
    with engine_for(site).snapshot() as snapshot:
        (names,) = [b"".join(part.producers[0].fed_by()) for part in itertools.islice(snapshot.parts(), 1)]
    listed = names.split(b"\0")[:-1]
    assert listed[0] == b"./" and listed[1] == b"./sub"
    kinds = [name.rpartition(b".")[2] for name in listed[2:]]
    assert len(kinds) == 30 and kinds == sorted(kinds)
