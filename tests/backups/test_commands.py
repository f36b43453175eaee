"""`manage.py backup`, as people and scripts call it, and what both commands say to a wrong call."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups.models import Copy, Level, Recovery, Set, Source
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job, State
from tests.backups.scene import Scene, flip, scene
from tests.backups.typed import environment, identity_file, manage, terminal
from tests.live.running import Running

__all__ = ["environment", "identity_file", "manage", "scene", "terminal"]
pytestmark = pytest.mark.django_db(transaction=True)


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
    assert "5.0 MiB" in lines[1]
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
    (("backup", "run", "shop", "--profile", "weekly"), "shop has no plan weekly. It has: daily. Profiles: golden, comprehensive, ultimate, external"),
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
