"""`manage.py recover`, as people and scripts call it."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backups.models import Recovery, Set, Source
from backups.recovery import approval
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job, State
from tests.backups.approving import second
from tests.backups.scene import Scene, scene
from tests.backups.typed import environment, identity_file, line, manage, terminal
from tests.cast import PASSWORD, person
from tests.live.running import wait_for

__all__ = ["environment", "identity_file", "manage", "scene", "terminal"]
ALONE = "It is night, and nobody else answers"
pytestmark = pytest.mark.django_db(transaction=True)


def test_recover_beside_as_json(scene: Scene, manage, identity_file: str) -> None:
    rows, files = scene.everything()
    damaged = scene.damage()
    done = manage("recover", "full", "shop", "--beside", "database=night.db", "--yes", "--json",
                  "--identity-file", identity_file)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["state"], found["differences"]) == ("succeeded", [])
    assert scene.rows(scene.database_path.parent / "night.db") == rows
    assert scene.files(scene.directory.parent / found["names"]["uploads"]) == files
    assert scene.everything() == damaged
    # A second time: there already.
    done = manage("recover", "full", "shop", "--source", "database", "--beside", "database=night.db", "--yes",
                  "--json", "--identity-file", identity_file)  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "failed")


def test_recover_files_alone(scene: Scene, manage, identity_file: str) -> None:
    done = manage(
        "recover", "files", "shop", "--beside", "uploads=night", "--yes", "--identity-file", identity_file
    )
    assert done.returncode == 0, done.stderr
    assert Recovery.objects.get().sources.get() == scene.uploads
    assert f"The set {scene.copy.set}, " in done.stdout


def test_recover_production_from_a_script(scene: Scene, manage, identity_file: str) -> None:
    before = scene.everything()
    scene.damage()
    over = ("recover", "full", "shop", "--production", "--yes", "--identity-file", identity_file,
            "--break-glass", ALONE)  # fmt: skip
    done = manage(*over, "--host", "elsewhere")
    assert done.returncode == 2
    assert "Type exactly: " in done.stderr
    assert Entry.objects.get(action="backups.restore.refused").result == Result.REFUSED
    done = manage(*over)
    assert (done.returncode, "no terminal to ask on" in done.stderr) == (2, True)
    host = scene.database.build().host
    done = manage(*over, "--host", host)
    assert done.returncode == 0, done.stderr
    assert "1. Read every part" in done.stdout
    assert "database: orders 100" in done.stdout
    assert scene.everything() == before
    # The newest set is the one that was asked for, not what was saved before the restore.
    assert Set.objects.latest("pk").reason == Set.Reason.SAFETY
    assert f"The set {scene.copy.set}, " in manage(*over, "--host", host).stdout
    scene.commands(resume_command=[scene.command("start", 1)])
    done = manage(*over, "--host", host, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["state"]) == (1, "down")
    assert found["safety_set"]
    assert "Start the application by hand" in found["hint"]


def test_a_source_that_was_deleted_here(scene: Scene, manage, identity_file: str) -> None:
    Source.objects.filter(pk=scene.uploads.pk).update(name="renamed")
    done = manage("recover", "full", "shop", "--yes", "--identity-file", identity_file)
    assert (done.returncode, "restore.sh" in done.stderr) == (1, True)
    done = manage(
        "recover", "full", "shop", "--source", "database", "--yes", "--identity-file", identity_file
    )
    assert done.returncode == 0, done.stderr


def test_on_a_terminal_it_asks_and_shows_progress(scene: Scene, terminal) -> None:
    before = scene.everything()
    scene.damage()
    person("otto", ["restore_production"])
    scene.commands(pause_command=[["sleep", "1.5"]])
    shell = terminal("recover", "full", "shop", "--production")
    shell.until("to overwrite it: ")
    shell.type(scene.typed)
    shell.until("Go on? [y/N] ")
    shell.type("y")
    shell.until("Why? ")
    shell.type("Rows were deleted")
    shell.until("Your user name in the panel: ")
    shell.type("otto")
    shell.until("Password of otto: ")
    shell.type(PASSWORD)
    shell.until("Identity (AGE-SECRET-KEY-…, empty for none): ")
    shell.type(scene.identity.reveal())
    shell.until("It waits. ")
    recovery = Recovery.objects.get()
    assert recovery.requested_by == "otto"
    approval.approve(recovery, user=second(), seen=recovery.digest)
    shell.until("\r  stop sleep 1.5")
    assert shell.end() == 0
    assert "succeeded." in shell.shown
    assert scene.identity.reveal() not in shell.shown and PASSWORD not in shell.shown
    assert scene.everything() == before
    shell = terminal("recover", "full", "shop")
    shell.until("Go on? [y/N] ")
    shell.type("n")
    assert shell.end() == 1
    assert "Nothing was done." in shell.shown
    assert Recovery.objects.count() == 1


def test_ctrl_c_leads_back_in_order_and_no_secret_is_to_be_seen(
    scene: Scene, terminal, identity_file: str
) -> None:
    damaged = scene.damage()
    scene.commands(pause_command=[scene.command("stop-web"), ["sleep", "60"]])
    shell = terminal("recover", "full", "shop", "--production", "--host", scene.database.build().host, "--yes",
                     "--identity-file", identity_file, "--break-glass", ALONE)  # fmt: skip
    shell.until("stop sleep 60")
    assert scene.identity.reveal() not in everything_that_ps_shows()
    shell.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    shell.process.send_signal(signal.SIGINT)
    assert shell.end() == 1
    assert "It stops in order" in shell.shown
    assert "cancelled. Stopped on request." in shell.shown
    assert scene.said == ["stop-web", "start-workers", "start-web"]
    assert scene.everything() == damaged
    job = Job.objects.latest("pk")
    assert (job.state, job.cancel_requested_by.startswith("shell:")) == (State.CANCELLED, True)


def everything_that_ps_shows() -> str:
    shown = []
    for place in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                shown.append((place / name).read_text(errors="replace"))
            except OSError:
                continue
    return "\n".join(shown)


def test_a_recovery_that_is_killed_is_lost_and_says_what_to_do(
    scene: Scene, environment, identity_file: str
) -> None:
    from drcenter.jobs.reap import lose

    scene.commands(pause_command=[scene.command("stop-web"), ["sleep", "60"]])
    words = line("recover", "full", "shop", "--production", "--host", scene.database.build().host, "--yes",
                 "--identity-file", identity_file, "--break-glass", ALONE)  # fmt: skip
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: scene.said == ["stop-web"], 30)
        time.sleep(0.5)
        process.kill()
    recovery = Recovery.objects.get()
    assert recovery.state == Recovery.State.RUNNING
    lose(recovery.job)
    recovery.refresh_from_db()
    assert recovery.state == Recovery.State.LOST
    assert "It was at: stop (sleep 60)" in recovery.hint
    assert "Start the application by hand" in recovery.hint
    assert not any("sleep\0" + "60" in one for one in everything_that_ps_shows().split("\n"))
