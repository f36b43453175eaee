"""A restore over production: its steps, what it refuses, what it leaves alone."""

import hashlib
import shutil
import threading
from pathlib import Path

import pyrage
import pytest
import zstandard

from backups import status
from backups.models import Copy, Recovery, Set, Source
from backups.recovery import overwriting, restore
from backups.storage import publish
from backups.witness import Content, Witness
from drcenter.audit.models import Entry, Result
from drcenter.errors import OperationFailed
from drcenter.jobs.models import State
from drcenter.jobs.work import run_job
from tests.backups.approving import carried_out, requester
from tests.backups.overwriting import ALL, failing, steps
from tests.backups.scene import Scene, flip, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_everything_comes_back_and_the_application_was_stopped_meanwhile(scene: Scene) -> None:
    before = scene.everything()
    damaged = scene.damage()
    recovery = scene.over()
    assert (recovery.state, recovery.message, recovery.hint) == (Recovery.State.SUCCEEDED, "", "")
    assert scene.everything() == before != damaged
    assert scene.said == ALL
    assert recovery.differences == []
    assert recovery.counts == {"database": {"orders": 100}}
    assert all(ok for _step, ok in steps(recovery))
    safety = recovery.safety_set
    assert (safety.state, safety.reason, safety.level) == (Set.State.COMPLETE, Set.Reason.SAFETY, "intact")
    assert scene.job(recovery).state == State.SUCCEEDED
    assert {"backups.restore.requested", "backups.restore.succeeded"} <= set(
        Entry.objects.values_list("action", flat=True)
    )


def test_the_way_back_by_the_safety_set_works_later_too(scene: Scene) -> None:
    damaged = scene.damage()
    safety = scene.over().safety_set
    again = restore.request_production(
        safety.copies.get(), sources=[], typed_host=scene.typed, requested_by="otto", user=requester()
    )
    assert scene.ran(carried_out(again, scene.identity)).state == Recovery.State.SUCCEEDED
    assert scene.everything() == damaged


def test_what_was_saved_before_a_restore_is_no_backup_of_the_plan(scene: Scene) -> None:
    """It holds what somebody wanted to be rid of, and would hide that the last real set grows old."""
    scene.damage()
    assert scene.over().safety_set.plan == scene.plan
    assert scene.plan.newest_good() == scene.copy.set
    assert status.newest_settled(scene.plan) == status.newest_good(scene.plan) == scene.copy.set


def test_one_source_alone_leaves_the_others_as_they_are(scene: Scene) -> None:
    before = scene.rows()
    _rows, files = scene.damage()
    assert scene.over(sources=[scene.database]).state == Recovery.State.SUCCEEDED
    assert scene.everything() == (before, files)


def test_the_steps_are_told_beforehand(scene: Scene) -> None:
    scene.commands(pause_command=[["php", "artisan", "down", "--secret=a b"]])
    scene.copy.set.system.refresh_from_db()
    told = restore.describe_production(scene.copy, [])
    assert "Stop the application: php artisan down '--secret=a b'" in told
    told_line = next(line for line in told if line.startswith(f"Overwrite {scene.database.name}: "))
    assert f"{scene.database.build().target} on {scene.database.build().host}." in told_line
    assert "is removed" not in told_line
    assert any(line.endswith("What is there and not in the set is removed.") for line in told)
    assert any("Back up what is there now" in line for line in told)
    told = restore.describe_production(scene.copy, [scene.database], skip_safety=True)
    assert any("NO safety backup" in line for line in told)
    assert not any("put the safety set back" in line for line in told)
    scene.commands(pause_command=[])
    scene.copy.set.system.refresh_from_db()
    assert any("NOT stopped" in line for line in restore.describe_production(scene.copy, []))


def test_of_what_is_gone_nothing_is_saved_and_the_rest_is(scene: Scene) -> None:
    before = scene.everything()
    scene.damage()
    scene.database_path.unlink()
    recovery = scene.over()
    assert (recovery.state, recovery.message) == (Recovery.State.SUCCEEDED, "")
    assert scene.everything() == before
    assert set(recovery.safety_set.parts.values_list("source_name", flat=True)) == {"uploads"}
    assert [
        "NOTHING IS LEFT" in step["target"] for step in recovery.steps if step["step"] == "nothing to save"
    ] == [True]


def test_where_nothing_is_left_at_all_there_is_no_safety_set(scene: Scene) -> None:
    before = scene.everything()
    scene.database_path.unlink()
    shutil.rmtree(scene.directory)
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert scene.everything() == before
    assert recovery.safety_set is None and not Set.objects.filter(reason="safety").exists()
    assert [step["step"] for step in recovery.steps].count("nothing to save") == 2
    assert "no safety set to go back to" in "".join(line.text for line in scene.job(recovery).lines.all())


@pytest.mark.parametrize("name", ["RESTORE.md", "log.txt", "restore.sh"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_what_only_people_read_stops_no_restore(scene: Scene, name: str, damage: str) -> None:
    before = scene.everything()
    scene.damage()
    path = Path(scene.copy.destination.options["path"]) / scene.copy.set.prefix / name
    flip(path) if damage == "changed" else path.unlink()
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert recovery.message.startswith(f"{name} beside the parts is damaged or missing")
    assert scene.everything() == before


@pytest.mark.parametrize(
    "name", ["manifest.json", "checksums.txt", "checksums.txt.sig", "details.json.zst.age"]
)
def test_what_a_restore_needs_does(scene: Scene, name: str) -> None:
    damaged = scene.damage()
    flip(Path(scene.copy.destination.options["path"]) / scene.copy.set.prefix / name)
    recovery = scene.over()
    assert recovery.state == Recovery.State.FAILED
    assert "another copy" in recovery.hint
    assert scene.everything() == damaged and scene.said == []


def test_what_was_gone_cannot_be_put_back_and_that_is_said(scene: Scene, monkeypatch) -> None:
    scene.damage()
    scene.database_path.unlink()
    failing(monkeypatch, "witness", times=9)
    recovery = scene.over()
    assert recovery.state == Recovery.State.DOWN
    assert "nothing was left of it before" in recovery.message


class TestRefused:
    def test_the_wrong_host_is_refused_and_recorded(self, scene: Scene) -> None:
        host = scene.database.build().host
        # The host alone is that of every system of this machine: it says nothing.
        for typed in ("", "elsewhere", host, f"clinic@{host}", f"{scene.typed},other"):
            with pytest.raises(OperationFailed, match="not the system and the host of the target") as caught:
                scene.over(typed_host=typed)
            assert caught.value.hint == f"Type exactly: shop@{host}"
        entries = Entry.objects.filter(action="backups.restore.refused", result=Result.REFUSED)
        assert [entry.facts["typed"] for entry in entries.order_by("pk")][:2] == ["", "elsewhere"]
        assert not Recovery.objects.exists()
        assert scene.said == []

    def test_a_copy_that_is_known_to_be_damaged(self, scene: Scene) -> None:
        scene.copy.state = "damaged"
        with pytest.raises(OperationFailed, match="is not complete, or is damaged"):
            scene.over()

    def test_a_source_that_became_another_one(self, scene: Scene) -> None:
        Source.objects.filter(pk=scene.uploads.pk).update(engine="command")
        with pytest.raises(OperationFailed, match="The source uploads of this set was deleted") as caught:
            scene.over()
        assert "restore.sh" in caught.value.hint
        assert scene.over(sources=[scene.database]).state == Recovery.State.SUCCEEDED


def test_the_same_job_delivered_twice_restores_once(scene: Scene) -> None:
    scene.damage()
    recovery = scene.over(run=False)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(_run(recovery.job.pk))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["skipped", "succeeded"]
    assert scene.said == ALL
    assert run_job(recovery.job.pk) == "skipped"


def _run(pk: int) -> str:
    from django.db import connections

    try:
        return run_job(pk)
    finally:
        connections.close_all()


def test_the_marker_of_maintenance_mode_is_never_touched(scene: Scene, tmp_path: Path) -> None:
    """Also where no option of the source says so."""
    marker = scene.directory / "storage" / "framework" / "down"
    scene.commands(
        commands_directory=str(scene.directory),
        pause_command=[["sh", "-c", f"mkdir -p '{marker.parent}'; echo '{{}}' > '{marker}'"]],
        after_restore_command=[["test", "-f", str(marker)]],
        resume_command=[["rm", str(marker)]],
    )
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert not marker.exists()


def test_what_became_a_directory_gives_way(scene: Scene) -> None:
    good = scene.everything()
    path = scene.directory / "one.txt"
    path.unlink()
    (path / "deeper").mkdir(parents=True)
    (path / "deeper" / "file").write_text("in the way")
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert scene.everything() == good


COUNTS = [
    ({"orders": 3}, {"orders": 3}, {"orders": 3}, ""),
    ({"orders": 2}, {"orders": 3}, {"orders": 2}, "orders has 2 rows after the restore, the set has 3."),
    # Named without its schema.
    ({"orders": 2}, {"public.orders": 3}, {"public.orders": 2}, "orders has 2 rows"),
    ({"orders": 3}, {"public.orders": 3, "x.reorders": 1}, {"public.orders": 3, "x.reorders": 0}, ""),
    # Old rows of a versioned table count in the witness, not in the count.
    ({"prices": 1}, {"prices": 4}, {"prices": 4}, ""),
    ({"unknown": 7}, {"orders": 3}, {"orders": 3}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("counted", "expected", "found", "message"), COUNTS)
def test_counts_of_critical_tables(counted, expected, found, message) -> None:
    witnesses = [
        Witness(contents={name: Content(count, "c") for name, count in one.items()})
        for one in (expected, found)
    ]
    if not message:
        overwriting.check_counts(counted, *witnesses)
        return
    with pytest.raises(OperationFailed) as caught:
        overwriting.check_counts(counted, *witnesses)
    assert caught.value.message.startswith(message)


def test_the_log_of_the_safety_set_does_not_tell_what_the_commands_said(scene: Scene) -> None:
    """It lies in the clear beside what is encrypted."""
    scene.commands(pause_command=[["sh", "-c", "echo visit /bypass-in-output # bypass-in-command"]])
    recovery = scene.over()
    assert "bypass-in-output" in "".join(line.text for line in scene.job(recovery).lines.all())
    safety = recovery.safety_set
    folder = Path(scene.copy.destination.options["path"]) / safety.prefix
    log = (folder / "log.txt").read_text()
    assert "parts/01-database" in log
    assert "bypass" not in log


@pytest.mark.parametrize(
    "trace", ["details only", "checksums too", "another signing key", "a row without fields"]
)
def test_details_that_somebody_replaced_are_not_believed(scene: Scene, key, trace: str) -> None:
    """Whoever may write to the store can encrypt to public keys; the witness in the details says what may stay."""
    folder = Path(scene.copy.destination.options["path"]) / scene.copy.set.prefix
    forged = b'{"version": 1, "sources": {}}'
    planted = pyrage.encrypt(zstandard.compress(forged), [pyrage.x25519.Recipient.from_str(key.recipient)])
    path, sums, manifest = folder / "details.json.zst.age", folder / "checksums.txt", folder / "manifest.json"
    changes = {hashlib.sha256(path.read_bytes()).hexdigest(): hashlib.sha256(planted).hexdigest()}
    path.write_bytes(planted)
    if trace != "details only":
        before = manifest.read_bytes()
        if trace != "checksums too":
            manifest.write_text(before.decode().replace(publish.signing_key().fingerprint, "c" * 64))
        changes[hashlib.sha256(before).hexdigest()] = hashlib.sha256(manifest.read_bytes()).hexdigest()
        for old, new in changes.items():
            sums.write_text(sums.read_text().replace(old, new))
    if trace == "a row without fields":
        Set.objects.update(details_size=None, details_sha256="", signing_key="")
    damaged = scene.damage()
    recovery = scene.over()
    assert recovery.state == Recovery.State.FAILED
    assert scene.everything() == damaged
    assert scene.said == []
    assert Copy.objects.get(pk=scene.copy.pk).state == Copy.State.DAMAGED


def test_a_critical_table_that_the_set_does_not_have_is_told_and_fails_nothing(scene: Scene) -> None:
    before = scene.everything()
    scene.damage()
    scene.database.options = {**scene.database.options, "critical_tables": ["made_later"]}
    scene.database.save()
    recovery = scene.over()
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert "made_later is named as critical in database, and is not in the set" in recovery.message
    assert scene.everything() == before
