"""Restores beside the originals: what is refused, what is removed again, what never changes."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backups.engines import files as files_engine
from backups.models import Recovery, Source
from backups.recovery import restore
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel
from drcenter.notify.models import Event
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.scene import Scene, flip, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_beside_the_originals_which_do_not_change(scene: Scene) -> None:
    rows, files = scene.everything()
    damaged = scene.damage()
    recovery = scene.beside(database="shop_beside", uploads="uploads beside")
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, [])
    assert scene.rows(scene.database_path.parent / "shop_beside") == rows
    assert scene.files(scene.directory.parent / "uploads beside") == files
    assert scene.everything() == damaged
    assert scene.said == []
    assert recovery.counts == {"database": {"orders": 100}}
    assert recovery.safety_set is None


@pytest.mark.parametrize("name", ["-rf", "with 'quotes\"", "ünï🦷", "a;b$(c)", ".hidden", "--"])
def test_odd_names_are_names(scene: Scene, name: str) -> None:
    rows, files = scene.everything()
    recovery = scene.beside(database=f"{name}.db", uploads=name)
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert scene.rows(scene.database_path.parent / f"{name}.db") == rows
    assert scene.files(scene.directory.parent / name) == files


@pytest.mark.parametrize("name", ["", "  ", "../up", "a/b", "..", ".", "nul\0", "line\nbreak", "tab\t"])
def test_what_is_no_name_is_refused(scene: Scene, name: str) -> None:
    for source in ("database", "uploads"):
        with pytest.raises(OperationFailed):
            scene.beside(**{source: name})
    assert not Recovery.objects.exists()


def test_places_that_are_not_beside(scene: Scene) -> None:
    refused = {
        "uploads": [
            scene.directory.name,
            str(scene.directory),
            f"{scene.directory}/inside",
            f"{scene.directory}/.",
        ],
        "database": [scene.database_path.name, str(scene.database_path)],
    }
    (scene.directory.parent / "link").symlink_to(scene.directory)
    refused["uploads"].append("link")
    for source, names in refused.items():
        for name in names:
            with pytest.raises(OperationFailed):
                scene.beside(**{source: name})
    with pytest.raises(OperationFailed, match="is an original"):
        scene.beside(uploads=scene.database_path.name)
    with pytest.raises(OperationFailed, match="needs a name"):
        restore.request_beside(scene.copy, sources=[], names={"database": "x"}, requested_by="otto")
    assert not Recovery.objects.exists()


def test_two_sources_into_one_place(scene: Scene) -> None:
    other = Source.objects.create(
        system=scene.system,
        name="more",
        engine="files",
        tier="storage",
        options={"path": str(scene.directory)},
    )
    scene.copy.set.parts.filter(source_name="database").update(
        source_name="more", engine="files", source=other
    )
    with pytest.raises(OperationFailed, match="Two sources cannot be restored into the same place"):
        restore.request_beside(
            scene.copy, sources=[], names={"uploads": "same", "more": "same"}, requested_by="otto"
        )


def test_a_place_that_is_not_empty_is_refused_and_left_alone(scene: Scene) -> None:
    place = scene.directory.parent / "there"
    place.mkdir()
    (place / "thesis.txt").write_text("mine")
    (scene.database_path.parent / "there.db").write_text("mine")
    for names, what in (({"uploads": "there"}, "is not empty"), ({"database": "there.db"}, "exists already")):
        recovery = scene.beside(**names)
        assert recovery.state == Recovery.State.FAILED
        assert what in recovery.message
    assert (place / "thesis.txt").read_text() == "mine"
    assert (scene.database_path.parent / "there.db").read_text() == "mine"


def test_a_damaged_copy_makes_nothing(scene: Scene) -> None:
    flip(scene.part("uploads"))
    recovery = scene.beside(database="new.db", uploads="new")
    assert recovery.state == Recovery.State.FAILED
    assert not (scene.directory.parent / "new").exists()
    assert not (scene.database_path.parent / "new.db").exists()


def test_an_identity_of_somebody_else(scene: Scene) -> None:
    import pyrage

    scene.identity = Secret(str(pyrage.x25519.Identity.generate()))
    recovery = scene.beside(uploads="new")
    assert (recovery.state, "does not fit" in recovery.message) == (Recovery.State.FAILED, True)
    scene.identity = Secret("AGE-SECRET-KEY-nonsense")
    with pytest.raises(OperationFailed, match="not an age identity") as caught:
        scene.beside(uploads="new")
    assert "nonsense" not in str(caught.value)


class TestHalfWay:
    def break_finish(self, monkeypatch, error: BaseException) -> None:
        original = files_engine.Plugin.finish

        def finish(self, witness):
            original(self, witness)
            raise error

        monkeypatch.setattr(files_engine.Plugin, "finish", finish)

    def test_what_is_half_restored_is_removed_and_what_was_whole_stays(
        self, scene: Scene, monkeypatch
    ) -> None:
        self.break_finish(monkeypatch, OperationFailed("The disk died.", "Buy another."))
        damaged = scene.damage()
        recovery = scene.beside(database="new.db", uploads="new")
        assert recovery.state == Recovery.State.FAILED
        assert recovery.message.startswith(
            "The disk died. Restored before that, and left there: SQLite database"
        )
        assert recovery.hint == "Buy another."
        assert not (scene.directory.parent / "new").exists()
        assert len(scene.rows(scene.database_path.parent / "new.db")) == 100
        assert scene.everything() == damaged

    def test_that_it_cannot_be_removed_does_not_hide_why(self, scene: Scene, monkeypatch) -> None:
        self.break_finish(monkeypatch, OperationFailed("The disk died."))

        def drop(self):
            raise PermissionError("not allowed")

        monkeypatch.setattr(files_engine.Plugin, "drop", drop)
        recovery = scene.beside(uploads="new")
        assert recovery.message == "The disk died."
        assert "remove it by hand" in recovery.hint
        assert "not allowed" in recovery.hint

    def test_stopped_on_request(self, scene: Scene, monkeypatch) -> None:
        original = files_engine.Plugin.consumer

        def consumer(self, part, suffix):
            command = original(self, part, suffix)
            threading.Timer(0.2, lambda: cancel(Job.objects.get(state=State.RUNNING), "otto")).start()
            return replace(command, argv=("sleep", "30"))

        monkeypatch.setattr(files_engine.Plugin, "consumer", consumer)
        recovery = scene.beside(database="new.db", uploads="new")
        assert recovery.state == Recovery.State.CANCELLED
        assert recovery.message.startswith("Stopped on request. Restored before that, and left there: SQLite")
        assert recovery.steps[-1]["step"] == "remove what is half restored"
        assert not (scene.directory.parent / "new").exists()
        assert scene.job(recovery).state == State.CANCELLED


def test_differences_are_shown_and_are_no_failure(scene: Scene, monkeypatch) -> None:
    original = files_engine.Plugin.finish

    def finish(self, witness):
        original(self, witness)
        (Path(self.path) / "one.txt").write_text("something else came between")

    monkeypatch.setattr(files_engine.Plugin, "finish", finish)
    told = []
    monkeypatch.setattr(restore, "tell", lambda event, title, text="": told.append(event))
    recovery = scene.beside(uploads="new")
    assert recovery.state == Recovery.State.SUCCEEDED
    assert len(recovery.differences) == 1
    assert recovery.differences[0].startswith("uploads: one.txt")
    assert told == [Event.WARNING]


def test_a_destination_that_cannot_be_opened_is_written_down(scene: Scene, monkeypatch) -> None:
    """Before anything else of the attempt could fail."""
    recovery = scene.beside(run=False, uploads="new")
    scene.copy.destination.options = {"path": "relative"}
    scene.copy.destination.save()
    recovery = scene.ran(recovery)
    assert recovery.state == Recovery.State.FAILED
    assert recovery.message == scene.job(recovery).message != ""


def test_a_job_that_comes_too_late_changes_nothing(scene: Scene) -> None:
    recovery = scene.beside(uploads="new")
    job = Job.objects.create(
        kind=restore.KIND, subject=recovery.pk, target="system:1", title="again", requested_by="otto"
    )
    from drcenter.jobs.work import run_job

    assert run_job(job.pk) == State.FAILED
    assert Recovery.objects.get(pk=recovery.pk).state == Recovery.State.SUCCEEDED


def test_what_was_deleted_here_is_named(scene: Scene) -> None:
    Source.objects.filter(pk=scene.uploads.pk).update(name="renamed")
    there, gone = restore.restorable_sources(scene.copy)
    assert ([source.name for source in there], gone) == (["database"], ["uploads"])
    with pytest.raises(OperationFailed, match="The source uploads of this set was deleted here"):
        restore.chosen_sources(scene.copy, [])
    with pytest.raises(OperationFailed, match=r"no source stranger\. It has: database, uploads"):
        restore.chosen_sources(scene.copy, [Source(system=System(), name="stranger")])
