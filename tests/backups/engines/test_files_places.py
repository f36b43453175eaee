"""The engine for files: what a restore makes, reads and leaves, with the names that come in its way."""

import subprocess
from pathlib import Path

import pytest

from backups.engines._files_snapshot import witness_of
from backups.engines._files_tar import restore as tar
from backups.engines._files_tree import Tree
from backups.engines.files import Options, Plugin
from backups.witness import differences
from drcenter.options import validated
from tests.backups.engines.taking import restore, take


@pytest.fixture
def engine(tmp_path) -> Plugin:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "one").write_text("1")
    return Plugin(validated(Options, {"path": str(tmp_path / "site")}))


def test_a_file_called_owners_is_compared_without_root_too(engine) -> None:
    tree, path = Tree.of(engine.path, [], [], False), Path(engine.path) / "owners"
    path.write_text("anna")
    before = witness_of(tree, as_root=False)
    path.write_text("otto")
    assert differences(before, witness_of(tree, as_root=False)) == ["owners: same count (4), other contents"]
    assert [name for name in before.ignored if "owners are restored by root" in before.ignored[name]] == [
        "/owners"
    ]


def test_tar_reads_the_padding_behind_the_end_too(engine, tmp_path) -> None:
    """Otherwise whoever feeds it meets a broken pipe, and cannot tell it from a failure."""
    [(_, data)] = take(engine).parts
    (tmp_path / "copy").mkdir()
    with subprocess.Popen(
        tar(str(tmp_path / "copy"), [], as_root=False).argv, stdin=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(data)
        child.stdin.close()
    assert child.returncode == 0
    assert len(data) > 1 << 17, "more than a pipe holds, nearly all of it padding"


@pytest.mark.parametrize(("there", "made"), [("", "a"), ("a", "a/b"), ("a/b", "a/b/c"), ("a/b/c", "")])
def test_what_prepare_made_goes_and_what_was_there_stays(engine, tmp_path, there, made) -> None:
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    place = engine.beside(str(tmp_path / "a/b/c"))
    restore(place, take(engine))
    assert (tmp_path / "a/b/c/one").exists()
    place.drop()
    assert not made or not (tmp_path / made).exists()
    assert (tmp_path / there).is_dir()
    assert not (tmp_path / "a/b/c/one").exists()


def test_drop_leaves_what_was_full_before(engine) -> None:
    engine.prepare(overwrite=True)
    engine.drop()
    assert (Path(engine.path) / "one").read_text() == "1"
