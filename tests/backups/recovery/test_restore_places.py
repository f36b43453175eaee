"""Where restores beside lie unless somebody says where: in nobody's way, for nobody else to see, in no set."""

import os
import stat
from pathlib import Path

import pytest
from django.core.management import call_command

from backups.engines import files as files_engine
from backups.engines.files import Plugin as Files
from backups.engines.sqlite import Plugin as SQLite
from backups.models import Recovery, Set, Source
from backups.recovery import beside, restored
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.taking import restore, take
from tests.backups.scene import Scene, flip, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def state(settings, tmp_path: Path) -> Path:
    """A state directory of its own, which has to exist."""
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir(mode=0o700, exist_ok=True)
    return settings.STATE_DIR


def defaults(scene: Scene) -> dict[str, str]:
    return {one.name: beside.default_name(scene.copy.set, one) for one in (scene.database, scene.uploads)}


def test_by_default_below_the_state_directory(scene: Scene, state: Path) -> None:
    rows, files = scene.everything()
    damaged = scene.damage()
    folder = state / "restored" / scene.system.slug / scene.copy.set.identifier
    assert defaults(scene) == {"database": str(folder / "database"), "uploads": str(folder / "uploads")}
    os.umask(before := os.umask(0))
    recovery = scene.beside(**defaults(scene))
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert (scene.rows(folder / "database"), scene.files(folder / "uploads")) == (rows, files)
    assert scene.everything() == damaged
    for directory in (folder, folder.parent, state / "restored"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert before == os.umask(before)
    # Once more: what is there stays, the next one lies next to it.
    assert defaults(scene)["uploads"] == str(folder / "uploads-2")
    assert beside.targets(recovery)["uploads"] == f"files in {folder / 'uploads'}"


def test_what_failed_leaves_nothing_there(scene: Scene, state: Path, monkeypatch) -> None:
    monkeypatch.setattr(files_engine.Plugin, "finish", lambda self, witness: 1 / 0)
    recovery = scene.beside(uploads=defaults(scene)["uploads"])
    assert recovery.state == Recovery.State.FAILED
    assert list((state / "restored").rglob("*")) == [] and not (state / "restored").exists()
    flip(scene.part("uploads"))
    assert scene.beside(uploads=defaults(scene)["uploads"]).state == Recovery.State.FAILED
    assert not (state / "restored").exists()


def test_a_place_that_cannot_be_made_is_told(scene: Scene, state: Path) -> None:
    (state / "restored").write_text("in the way")
    recovery = scene.beside(uploads=str(state / "restored" / "a" / "b"))
    assert recovery.state == Recovery.State.FAILED
    assert "cannot be made" in recovery.message and "an absolute path" in recovery.hint
    assert (state / "restored").read_text() == "in the way"


def test_a_disk_that_is_too_small_is_told_before_anything_is_read(scene: Scene, monkeypatch) -> None:
    names = defaults(scene)
    size = scene.copy.set.parts.get(source_name="uploads").plain_size
    usage = type("Usage", (), {"free": size})
    monkeypatch.setattr(beside.shutil, "disk_usage", lambda path: usage)
    recovery = scene.beside(**names)
    assert recovery.state == Recovery.State.FAILED
    assert "The restore needs about" in recovery.message and f"{size} are free" in recovery.message
    assert recovery.steps == []
    assert scene.beside(uploads=names["uploads"]).state == Recovery.State.SUCCEEDED


def test_no_set_holds_what_was_restored(state: Path, tmp_path: Path) -> None:
    """A tree that contains the state directory, as a home directory does: taken, and restored over."""
    (tmp_path / "kept.txt").write_text("mine")
    place = Path(restored.free_place("shop", "20260102T030405Z-1a2b3c4d-a1", "files"))
    restored.shelter(str(place))
    place.mkdir()
    (place / "secret.txt").write_text("of last year")
    (tmp_path / "odd [x]" / "restored").mkdir(parents=True)
    taken = take(Files({"path": str(tmp_path)}))
    assert taken.findings == [] or os.geteuid() != 0
    names = set(taken.witness.contents)
    assert "kept.txt" in names and "odd [x]/restored" in names
    assert not any("secret.txt" in name or name.startswith("state/restored") for name in names)
    (tmp_path / "new.txt").write_text("goes")
    over = Files({"path": str(tmp_path)})
    restore(over, taken, overwrite=True)
    assert not (tmp_path / "new.txt").exists()
    assert (place / "secret.txt").read_text() == "of last year"
    assert differences(taken.witness, over.witness()) == []


def test_patterns_for_odd_names(settings, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path / "a [b]*?" / "state"
    assert restored.left_out(str(tmp_path)) == [
        f"a [[]b][*][?]/state/{name}" for name in ("restored", "scratch", "tmp")
    ]
    assert restored.left_out(str(tmp_path / "other")) == []
    assert restored.left_out(str(settings.STATE_DIR / "restored" / "shop")) == []
    (tmp_path / "link").symlink_to(tmp_path)
    assert restored.left_out(str(tmp_path / "link")) == restored.left_out(str(tmp_path))


def test_a_restored_copy_is_no_source(state: Path, tmp_path: Path) -> None:
    place = state / "restored" / "shop"
    place.mkdir(parents=True)
    (tmp_path / "link").symlink_to(place)
    for engine in (Files({"path": str(place)}), Files({"path": str(tmp_path / "link")}),
                   SQLite({"path": str(place / "db.sqlite3")})):  # fmt: skip
        with pytest.raises(OperationFailed, match="never backed up"):
            engine.inspect()


def test_a_place_inside_of_a_source_is_possible_and_told(scene: Scene) -> None:
    """The SQLite file of many applications lies in the directory that is backed up with them."""
    name = str(scene.directory / "old.sqlite3")
    recovery = scene.beside(database=name)
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    [line] = [
        one.text for one in scene.job(recovery).lines.all() if "it will be in the next sets" in one.text
    ]
    assert name in line and str(scene.directory) in line and "restored" in line
    assert beside.exposed(scene.database.build().beside(defaults(scene)["database"])) == ""


def test_the_shell_says_where_before_and_after(scene: Scene, state: Path, tmp_path: Path, capsys) -> None:
    identity = tmp_path / "identity"
    identity.write_text(scene.identity.reveal())
    call_command("recover", "full", scene.system.slug, "--yes", "--identity-file", str(identity))
    folder = state / "restored" / scene.system.slug / scene.copy.set.identifier
    told = capsys.readouterr().out
    for line in (f"uploads → files in {folder}/uploads", f"database → SQLite database {folder}/database"):
        assert told.count(line) == 2
    assert Set.objects.count() == 1 and Source.objects.count() == 2
