"""`manage.py backup` and `manage.py recover`, as people and scripts call them."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from backups.models import Copy, Level, Recovery, Set, Source
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job, State
from tests.backups.scene import Scene, flip, scene
from tests.live.running import Running, database_url, wait_for

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "DRC_STATE": str(tmp_path / "state"), "DRC_SECRET_KEY": settings.SECRET_KEY,
        "DRC_DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "drcenter.settings", "COLUMNS": "100",
    }  # fmt: skip


@pytest.fixture
def manage(environment):
    """manage(words): the command, ended; without a terminal."""

    def manage(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            line(*words), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    return manage


def line(*words: str) -> list[str]:
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *words]


@pytest.fixture
def identity_file(scene: Scene, tmp_path: Path) -> str:
    path = tmp_path / "identity.txt"
    path.write_text(f"# public key: age1…\n{scene.identity.reveal()}\n")
    return str(path)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            line(*words), env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def until(self, text: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} did not come: {self.shown}"
            assert self._read() or text in self.shown, f"it ended without {text!r}: {self.shown}"

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return True
        try:
            found = os.read(self._ours, 65536)
        except OSError:
            return False
        self.shown += found.decode(errors="replace")
        return bool(found)

    def type(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def end(self) -> int:
        while self._read():
            if self.process.poll() is not None and not select.select([self._ours], [], [], 0.2)[0]:
                break
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._ours)


@pytest.fixture
def terminal(environment):
    opened = []

    def terminal(*words: str) -> Terminal:
        opened.append(Terminal(environment, *words))
        return opened[-1]

    yield terminal
    for one in opened:
        one.close()


# ---------------------------------------------------------------------------- backup


def test_help_has_examples(manage) -> None:
    for words in (("backup",), ("backup", "verify"), ("recover",), ("recover", "full")):
        done = manage(*words, "--help")
        assert done.returncode == 0
        assert f"manage.py {words[0]} " in done.stdout
        assert "Exit codes: 0" in done.stdout


def test_run_here_needs_no_worker(scene: Scene, manage) -> None:
    done = manage("backup", "run", "shop", "--here", "--reason", "deployment")
    assert (done.returncode, done.stderr) == (0, "")
    taken = Set.objects.latest("pk")
    assert (taken.state, taken.reason) == (Set.State.COMPLETE, Set.Reason.DEPLOYMENT)
    assert f"{taken}: intact" in done.stdout
    assert "parts/01-database" in done.stdout
    assert "\r" not in done.stdout
    assert Entry.objects.filter(action="backups.take.completed").latest("pk").actor.startswith("shell:")


def test_run_that_fails(scene: Scene, manage) -> None:
    scene.database_path.unlink()
    done = manage("backup", "run", "shop", "--here")
    assert done.returncode == 1
    assert "failed: shop/database: " in done.stderr


def test_run_that_is_not_as_good_as_planned(scene: Scene, manage) -> None:
    """What a command puts out is restored by nothing, so that nothing proves it."""
    source = Source.objects.create(
        system=scene.system, name="notes", engine="command", tier="information",
        options={"argv": ["echo", "a note"], "part": "notes", "suffix": "txt"},
    )  # fmt: skip
    scene.plan.sources.add(source)
    scene.plan.level = Level.PROVEN
    scene.plan.save()
    done = manage("backup", "run", "shop", "--here")
    assert (done.returncode, done.stderr) == (3, "")
    assert f"{Set.objects.latest('pk')}: intact notes: " in done.stdout


def test_run_and_wait_with_a_real_worker(scene: Scene, manage, tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    with Running(tmp_path / "workers") as running:
        running.start()
        done = manage("backup", "run", "shop", "--wait")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Asked for: shop: daily" in done.stdout
        assert "parts/01-database" in done.stdout
        assert f"{Set.objects.latest('pk')}: intact" in done.stdout
        assert running.stop() == 0


def test_run_without_waiting_leaves_it_to_the_workers(scene: Scene, manage) -> None:
    done = manage("backup", "run", "shop")
    assert (done.returncode, done.stdout) == (0, "Asked for: shop: daily\n")
    assert Job.objects.latest("pk").state == State.QUEUED


def test_list_and_status(scene: Scene, manage) -> None:
    found = json.loads(manage("backup", "list", "shop", "--json").stdout)
    assert [(one["set"], one["state"], one["level"]) for one in found] == [
        (str(scene.copy.set), "complete", "intact")
    ]
    assert str(scene.copy.set) in manage("backup", "list").stdout
    done = manage("backup", "status", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
    scene.plan.target_age_hours = 1
    scene.plan.save()
    Set.objects.update(moment="2020-01-01T00:00:00Z", started_at="2020-01-01T00:00:00Z")
    done = manage("backup", "status")
    assert done.returncode == 3
    assert done.stdout.startswith("ATTN shop: daily: The newest set is older than")


def test_a_damaged_set_is_called_damaged_everywhere(scene: Scene, manage, identity_file: str) -> None:
    one = scene.copy.set
    older = Set.objects.create(
        system=scene.system, plan=scene.plan, identifier="older", state=Set.State.COMPLETE, level=Level.INTACT,
        moment="2026-01-01T12:00:00Z", started_at="2026-01-01T12:00:00Z", stored_size=5 << 20,
    )  # fmt: skip
    good = Copy.objects.create(
        set=older, destination=scene.copy.destination, state=Copy.State.COMPLETE, level=Level.INTACT
    )
    flip(scene.part("database"))
    done = manage("backup", "verify", str(one), "--level", "intact", "--identity-file", identity_file)
    assert (done.returncode, ": damaged " in done.stdout, "()" in done.stdout) == (1, True, False), (
        done.stdout
    )
    done = manage("backup", "status")
    assert (done.returncode, "The newest set is damaged" in done.stdout) == (3, True)
    lines = manage("backup", "list").stdout.splitlines()
    assert lines[0].split() == ["SET", "STATE", "LEVEL", "MOMENT", "STORED", "MESSAGE"]
    assert [line[lines[0].index("STATE") :].split()[0] for line in lines[1:]] == ["complete", "damaged"]
    assert "2026-01-01 13:00:00 CET" in lines[1]
    assert "5.0 MB" in lines[1]
    # By default the next good one is taken, and the damage is told; by name it is refused.
    told = f"The set {one} is damaged: "
    done = manage("recover", "full", "shop", "--set", str(one), "--yes", "--identity-file", identity_file)
    assert (done.returncode, told in done.stderr, f"--set {older}" in done.stderr) == (1, True, True)
    done = manage("recover", "full", "shop", "--source", "database", "--yes")
    assert (told in done.stderr, f"--set {older}" in done.stderr) == (True, True)
    good.delete()
    done = manage("recover", "full", "shop", "--yes", "--identity-file", identity_file)
    assert (done.returncode, told in done.stderr, "No other set" in done.stderr) == (1, True, True)


def test_verify(scene: Scene, manage, identity_file: str) -> None:
    identity = ("--identity-file", identity_file)
    done = manage("backup", "verify", "shop", "--level", "intact", *identity)
    assert (done.returncode, "passed (intact)" in done.stdout) == (0, True), done.stdout + done.stderr
    # Without the identity nothing is wrong, and nothing is known.
    done = manage("backup", "verify", "--all", "--level", "intact")
    assert (done.returncode, "undecided (stored)" in done.stdout) == (3, True)
    flip(scene.part("uploads"))
    done = manage("backup", "verify", f"shop/{scene.copy.set.identifier}", "--level", "intact", *identity)
    assert (done.returncode, "damaged" in done.stdout) == (1, True)
    done = manage("backup", "verify", "shop")
    assert (done.returncode, f"The set {scene.copy.set} is damaged: " in done.stderr) == (1, True)


WRONG = [
    (("backup", "run", "shoop"), "There is no system shoop. There are: shop"),
    (("backup", "run", "shop", "--profile", "weekly"), "shop has no plan weekly. It has: daily"),
    (("backup", "verify"), "Name a set or a system, or give --all."),
    (("backup", "verify", "shop/nothing"), "There is no complete set shop/nothing. The newest: shop/"),
    (("backup", "verify", "shop", "--destination", "moon"), "There is no destination moon."),
    (("recover", "full", "shoop"), "There is no system shoop. There are: shop"),
    (("recover", "full", "shop", "--set", "x"), "There is no complete set x."),
    (("recover", "full", "shop", "--source", "mail"), "no such source: mail. It has: database, uploads"),
    (("recover", "files", "shop", "--source", "database"), "no such source: database. It has: uploads"),
    (("recover", "full", "shop", "--beside", "uploads"), "Write --beside SOURCE=NAME"),
    (("recover", "full", "shop", "--beside", "u=x", "--production"), "Either --production or --beside"),
    (("recover", "full", "shop", "--host", "db1"), "go with --production"),
    (("recover", "full", "shop", "--without-stop"), "go with --production"),
    (("recover", "full", "shop"), "There is no terminal to ask on"),
    (("recover", "full", "shop", "--identity-file", "/no/such", "--yes"), "/no/such: No such file"),
]  # fmt: skip


def test_what_is_called_wrongly_is_told_what_there_is(scene: Scene) -> None:
    for words, message in WRONG:
        with pytest.raises(CommandError) as caught:
            call_command(*words)
        assert message in str(caught.value), words
        assert caught.value.returncode == 2, words
    assert not Recovery.objects.exists()


def test_a_wrong_call_is_a_sentence_and_the_exit_code_2(scene: Scene, manage) -> None:
    done = manage("recover", "full", "shoop")
    assert (done.returncode, done.stderr) == (2, "CommandError: There is no system shoop. There are: shop\n")
    done = manage("backup", "list", "--limit", "0")
    assert (done.returncode, "invalid" in done.stderr) == (2, True)


# ---------------------------------------------------------------------------- recover


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
    over = ("recover", "full", "shop", "--production", "--yes", "--identity-file", identity_file)
    done = manage(*over, "--host", "elsewhere")
    assert done.returncode == 1
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
    scene.commands(pause_command=[["sleep", "1.5"]])
    shell = terminal("recover", "full", "shop", "--production")
    shell.until("Type the host that is overwritten: ")
    shell.type(scene.database.build().host)
    shell.until("Go on? [y/N] ")
    shell.type("y")
    shell.until("Identity (AGE-SECRET-KEY-…, empty for none): ")
    shell.type(scene.identity.reveal())
    shell.until("\r  stop sleep 1.5")
    assert shell.end() == 0
    assert "succeeded." in shell.shown
    assert scene.identity.reveal() not in shell.shown
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
                     "--identity-file", identity_file)  # fmt: skip
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
                 "--identity-file", identity_file)  # fmt: skip
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
