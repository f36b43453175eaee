"""The local directory on bad days: full, read-only, not mounted, a killed worker, links."""

import io
import os
import stat
from pathlib import Path

import pytest

from backups.destinations.base import NotThere
from backups.destinations.local import MARKER, TEMPORARY, Plugin
from backups.places.trial import check
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.destinations import bad_disk
from tests.backups.destinations.streams import Broken


@pytest.fixture
def root(tmp_path):
    return tmp_path / "sets"


@pytest.fixture
def local(root):
    destination = Plugin({"path": str(root)})
    destination.prepare()
    return destination


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.name != MARKER)


def test_files_and_directories_are_for_the_owner_alone(local, root):
    local.put("shop/one/parts/a", io.BytesIO(b"x"))
    for path in (root, *root.rglob("*")):
        if path.name != MARKER:
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_an_unprepared_directory_is_never_filled(tmp_path):
    """The mount point of a disk that is not mounted: an empty directory on the root disk."""
    (tmp_path / "mount").mkdir()
    destination = Plugin({"path": str(tmp_path / "mount")})
    for act in (
        lambda: destination.put("a", io.BytesIO(b"x")),
        lambda: destination.open("a"),
        lambda: destination.head("a"),
        lambda: list(destination.list("")),
        lambda: destination.delete("a"),
        destination.space,
        lambda: check(destination),
    ):
        with pytest.raises(OperationFailed, match="not there, or is not the directory") as caught:
            act()
        assert caught.value.permanent and "Mount the disk" in caught.value.hint
        assert not isinstance(caught.value, NotThere)
    assert list((tmp_path / "mount").iterdir()) == []


def test_a_root_that_vanished_is_not_made_again(local, root):
    (root / MARKER).unlink()
    root.rmdir()
    with pytest.raises(OperationFailed, match="is not there"):
        local.put("a/b", io.BytesIO(b"x"))
    assert not root.exists()


def test_prepare_twice_changes_nothing(local, root):
    local.put("a", io.BytesIO(b"x"))
    before = (root / MARKER).stat().st_mtime_ns
    local.prepare()
    assert (root / MARKER).stat().st_mtime_ns == before and local.head("a").size == 1


@pytest.mark.parametrize("trouble", bad_disk.possible())
def test_a_disk_that_takes_no_more(trouble):
    """Told as what it is, in the middle of a file; nothing half stays, and the next put is good."""
    told = bad_disk.put_on(trouble)
    assert told["permanent"] is True
    assert bad_disk.HINTS[trouble] in told["hint"]
    assert told["left"] == ["good/one"]
    assert told["next"] == 3 << 20


def test_a_stream_that_dies_leaves_nothing_and_the_old_object(local, root):
    local.put("shop/one", io.BytesIO(b"old"))
    with pytest.raises(RuntimeError, match="dump died"):
        local.put("shop/one", Broken(3 << 20, RuntimeError("dump died")))
    with pytest.raises(OSError, match="pipe broke"):
        local.put("shop/new/part", Broken(3 << 20, OSError("pipe broke")))
    assert files(root) == ["shop", "shop/one"]
    assert (root / "shop/one").read_bytes() == b"old"


def test_leftovers_of_a_killed_worker_are_swept_and_those_of_others_stay(local, root):
    for directory in ("shop/dead/parts", "shop/alive/parts"):
        (root / directory).mkdir(parents=True)
        (root / directory / f"{TEMPORARY}0011").write_bytes(b"half")
    assert list(local.list("")) == []
    local.abort()
    assert len([name for name in files(root) if TEMPORARY in name]) == 2
    local.abort("shop/dead/")
    assert [name for name in files(root) if TEMPORARY in name] == [f"shop/alive/parts/{TEMPORARY}0011"]
    assert not (root / "shop/dead").exists()


def test_empty_directories_go_with_their_last_object(local, root):
    local.put("shop/one/parts/a", io.BytesIO(b"x"))
    local.put("shop/two/b", io.BytesIO(b"x"))
    local.delete("shop/one/parts/a")
    assert files(root) == ["shop", "shop/two", "shop/two/b"]
    local.delete("shop/two/b")
    assert files(root) == [] and (root / MARKER).exists()


def test_links_lead_nowhere(local, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    for act in (
        lambda: local.put("link/new", io.BytesIO(b"x")),
        lambda: local.open("link/secret"),
        lambda: local.delete("link/secret"),
    ):
        with pytest.raises(OperationFailed, match="symbolic link"):
            act()
    for act in (lambda: local.open("file"), lambda: local.head("file")):
        with pytest.raises(NotThere):
            act()
    assert list(local.list("")) == []
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_root_behind_a_link_is_fine(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "backup").symlink_to(tmp_path / "disk")
    destination = Plugin({"path": str(tmp_path / "backup")})
    destination.prepare()
    check(destination)
    destination.put("a/b", io.BytesIO(b"x"))
    assert (tmp_path / "disk/a/b").read_bytes() == b"x"


def test_foreign_names_do_not_disturb_the_list(local, root):
    local.put("a/b", io.BytesIO(b"x"))
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"latin-1 name")
    os.mkfifo(root / "fifo")
    assert [one.key for one in local.list("")] == ["a/b"]
    with pytest.raises(NotThere):
        local.head("fifo")


def test_a_file_in_the_way_of_a_directory(local):
    local.put("a", io.BytesIO(b"x"))
    with pytest.raises(OperationFailed) as caught:
        local.put("a/b", io.BytesIO(b"x"))
    assert "A file stands where" in caught.value.hint
    local.put("d/e", io.BytesIO(b"x"))
    with pytest.raises(OperationFailed) as caught:
        local.put("d", io.BytesIO(b"x"))
    assert "A directory stands where" in caught.value.hint


def test_space_is_what_the_file_system_says(local, root):
    space = local.space()
    assert space.total and space.free and 0 < space.free <= space.total


@pytest.mark.parametrize("path", ["relative/path", "/", "//", "/..", ""])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(OperationFailed, match="path"):
        validated(Plugin.Options, {"path": path})


def test_a_path_is_normalised():
    assert validated(Plugin.Options, {"path": "/srv//backup/../sets/"})["path"] == "/srv/sets"
