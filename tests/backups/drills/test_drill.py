"""A drill from beginning to end, on real sets of a database and a directory."""

import base64
import json
import sqlite3
import subprocess
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from backups.drills import drill as drills
from backups.drills import evidence
from backups.models import Drill, DrillCheck, Recovery, RecoveryKey, Set
from backups.storage import publish
from backups.takes import take
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.scene import Scene, flip, scene
from tests.backups.taking import channel, told

__all__ = ["channel", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def held(scene: Scene, **changes) -> Drill:
    given = {"requested_by": "otto", "identity": scene.identity} | changes
    drill = drills.request(scene.copy, **given)
    run_job(drill.recovery.job_id)
    return Drill.objects.get(pk=drill.pk)


def check(scene: Scene, kind: str, name: str = "a check", **options) -> DrillCheck:
    return DrillCheck.objects.create(system=scene.system, name=name, kind=kind, options=options)


def sql(scene: Scene, query: str, comparison: str, expected: str) -> DrillCheck:
    return check(scene, "sql", source="database", query=query, comparison=comparison, expected=expected)


def nothing_left(settings) -> bool:
    scratch = Path(settings.STATE_DIR) / "scratch"
    return not scratch.exists() or not list(scratch.iterdir())


def test_a_drill_restores_compares_checks_measures_and_touches_nothing(scene, channel, settings) -> None:
    sql(scene, "SELECT count(*) FROM orders", "least", "100")
    check(scene, "row_counts", "rows", source="database")
    before = scene.everything()
    drill = held(scene)
    assert (drill.outcome, drill.message) == (Drill.Outcome.PASSED, "")
    assert [(one["check"], one["ok"]) for one in drill.checks] == [("a check", True), ("rows", True)]
    assert set(drill.sources) == {"database", "uploads"} and drill.counts == {"database": {"orders": 100}}
    assert drill.machine_seconds > 0 and drill.lost_seconds > 0 and drill.waited_seconds >= 0
    recovery = drill.recovery
    assert (recovery.state, recovery.mode, recovery.place) == ("succeeded", "drill", "scratch")
    assert all(step["ok"] for step in recovery.steps)
    assert scene.everything() == before and scene.said == [] and nothing_left(settings)
    assert [event for event, _text in told()] == ["success"]
    assert Entry.objects.filter(action="backups.drill.passed").count() == 1


def test_the_evidence_is_checked_by_openssl_alone_and_shows_every_change(scene, tmp_path) -> None:
    drill = held(scene)
    out = StringIO()
    call_command("drill", "show", str(drill.pk), "--evidence", str(tmp_path), stdout=out, stderr=out)
    (tmp_path / "key.pem").write_text(publish.signing_key().public_pem)
    command = evidence.COMMAND.format(name=evidence.file_name(drill)).split()
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    found = json.loads((tmp_path / evidence.file_name(drill)).read_text())
    assert (found["outcome"], found["system"], found["set"]) == ("passed", "shop", scene.copy.set.identifier)
    flip(tmp_path / evidence.file_name(drill))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
    Drill.objects.filter(pk=drill.pk).update(evidence=drill.evidence.replace("passed", "failed"))
    with pytest.raises(SystemExit):
        call_command("drill", "show", str(drill.pk), stdout=out)
    assert "was changed" in out.getvalue()


def test_the_evidence_is_stored_beside_the_set_and_says_nothing_in_the_clear(scene) -> None:
    sql(scene, "SELECT count(*) FROM orders", "equal", "100")
    drill = held(scene)
    evidence.store_due()
    drill.refresh_from_db()
    assert drill.recorded_at is not None
    folder = Path(scene.copy.destination.options["path"]) / scene.copy.set.prefix / "records"
    texts = [path.read_text() for path in folder.iterdir() if "evidence_sha256" in path.read_text()]
    assert len(texts) == 1 and drill.evidence_sha256 in texts[0] and "orders" not in texts[0]
    assert list(evidence.outstanding()) == []


def test_content_that_was_wrong_when_it_was_taken_is_found_by_the_checks_alone(scene, channel, plan) -> None:
    assert held(scene).outcome == Drill.Outcome.PASSED
    check(scene, "row_counts", "rows", source="database", tables=["orders"])
    sql(scene, "SELECT count(*) FROM orders WHERE total = 'wrong'", "equal", "0")
    assert held(scene).outcome == Drill.Outcome.PASSED
    scene.damage()
    with closing(sqlite3.connect(scene.database_path)) as connection, connection:
        connection.execute("DELETE FROM orders WHERE id > 30")
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.level == "intact"
    drill = held(Scene(**{**vars(scene), "copy": one.copies.get()}))
    assert drill.outcome == Drill.Outcome.FAILED and drill.recovery.differences == []
    assert sorted(drill.failed_checks) == ["a check", "rows"]
    assert "in the last good drill it had 100" in drill.message
    assert told()[-1][0] == "failure" and "the drill failed" in told()[-1][1]
    assert json.loads(drill.evidence)["outcome"] == "failed"


def test_a_damaged_part_fails_the_drill_and_marks_the_copy(scene) -> None:
    flip(scene.part("database"))
    drill = held(scene)
    assert drill.outcome == Drill.Outcome.FAILED and drill.machine_seconds is None
    scene.copy.refresh_from_db()
    assert scene.copy.state == "damaged"


def test_a_check_that_cannot_run_has_not_passed(scene) -> None:
    sql(scene, "SELECT nothing FROM nowhere", "equal", "1")
    check(scene, "sql", "another source", source="elsewhere", query="SELECT 1")
    check(scene, "laravel", "no application", source="uploads", directory=".", database="database")
    check(scene, "http", "outside", source="uploads", directory="../..", path="/")
    check(scene, "row_counts", "no such table", source="database", tables=["nothing"])
    drill = held(scene)
    assert drill.outcome == Drill.Outcome.FAILED
    assert [one["ok"] for one in drill.checks] == [False] * 5
    assert "could not run" in drill.checks[0]["message"]


def test_a_query_of_a_check_changes_nothing(scene) -> None:
    sql(scene, "DELETE FROM orders", "none", "")
    check(scene, "sql", "after it", source="database", query="SELECT count(*) FROM orders", expected="100")
    drill = held(scene)
    assert [one["ok"] for one in drill.checks] == [False, True]


def test_two_at_once_are_refused(scene) -> None:
    first = drills.request(scene.copy, requested_by="otto", identity=scene.identity)
    with pytest.raises(OperationFailed, match="under way already"):
        drills.request(scene.copy, requested_by="anna", identity=scene.identity)
    with pytest.raises(IntegrityError):
        Drill.objects.create(system=scene.system, requested_by="anna")
    run_job(first.recovery.job_id)
    assert held(scene).outcome == Drill.Outcome.PASSED


def test_a_drill_holds_up_no_real_recovery(scene) -> None:
    drill = drills.request(scene.copy, requested_by="otto", identity=scene.identity)
    real = scene.beside(run=False, uploads="beside")
    assert drill.recovery.job.target != real.job.target


def test_without_an_identity_that_fits_it_does_not_begin(scene, settings) -> None:
    with pytest.raises(OperationFailed, match="no identity is at hand"):
        drills.request(scene.copy, requested_by="otto")
    import pyrage

    with pytest.raises(OperationFailed, match="does not fit"):
        stranger = Secret(str(pyrage.x25519.Identity.generate()))
        drills.request(scene.copy, requested_by="otto", identity=stranger)
    assert not Drill.objects.exists() and not Recovery.objects.exists()


def test_a_cancelled_drill_is_none(scene, channel) -> None:
    from drcenter.jobs.reap import cancel

    drill = drills.request(scene.copy, requested_by="otto", identity=scene.identity)
    cancel(Job.objects.get(pk=drill.recovery.job_id), "anna")
    run_job(drill.recovery.job_id)
    drill.refresh_from_db()
    assert drill.outcome == Drill.Outcome.CANCELLED and drill.recovery.state == "cancelled"
    assert told() == []


def test_a_full_scratch_disk_fails_the_drill_and_says_so(scene, settings, monkeypatch) -> None:
    import shutil

    real = shutil.disk_usage

    def full(path):
        usage = real(path)
        return usage._replace(free=10) if "scratch" in str(path) else usage

    monkeypatch.setattr(shutil, "disk_usage", full)
    drill = held(scene)
    assert drill.outcome == Drill.Outcome.FAILED and "are free" in drill.message
    assert nothing_left(settings)


def test_the_command_holds_one_and_tells_it(scene, tmp_path, capsys) -> None:
    (tmp_path / "identity.txt").write_text(scene.identity.reveal())
    sql(scene, "SELECT count(*) FROM orders", "equal", "7")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("drill", "shop", "--identity-file", str(tmp_path / "identity.txt"), "--json", stdout=out)
    assert ended.value.code == 3
    found = json.loads(out.getvalue())
    assert found["outcome"] == "failed" and found["checks"][0]["ok"] is False
    assert base64.b64decode(found["signature"]) and json.loads(found["evidence"])["drill"] == found["drill"]
    out = StringIO()
    call_command("drill", "list", "shop", stdout=out)
    assert "failed" in out.getvalue()


def test_a_key_for_drills_is_one_of_the_recipients(scene, plan, settings, tmp_path) -> None:
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    RecoveryKey.objects.create(name="drills", recipient=str(identity.to_public()), for_drills=True)
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job_id)
    (tmp_path / "drill.txt").write_text(str(identity))
    settings.DRILL_IDENTITY = f"file:{tmp_path / 'drill.txt'}"
    copy = Set.objects.get(pk=wanted.pk).copies.get()
    drill = drills.request(copy, requested_by="otto")
    run_job(drill.recovery.job_id)
    drill.refresh_from_db()
    assert drill.outcome == Drill.Outcome.PASSED, drill.message
