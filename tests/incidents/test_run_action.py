"""Actions from their page and from the shell, on a real work tree: asked for, run, measured, taken back."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from drcenter.systems.models import System
from incidents import run_action
from incidents.actions import git_checkout
from incidents.models import ActionRun, PreparedAction
from tests.cast import SEE, person
from tests.incidents.actions.test_git_checkout import git, tree

__all__ = ["tree"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def prepared(tree):
    system = System.objects.create(slug="shop", name="Shop", commands_directory=str(tree))
    return PreparedAction.objects.create(
        system=system, name="Roll back", kind="git_checkout", options={"revision": "v1"}
    )


def ran(run: ActionRun) -> ActionRun:
    run_job(run.job.pk)
    return ActionRun.objects.get(pk=run.pk)


def asked(prepared, typed="shop") -> ActionRun:
    with kept_here():
        return run_action.request(prepared, requested_by="otto", typed=typed)


def test_it_is_done_measured_and_taken_back(prepared, tree):
    run = ran(asked(prepared))
    assert run.state == ActionRun.State.SUCCEEDED, run.message
    assert "Release 1" in run.measured
    assert (tree / "code").read_text() == "release 1"
    assert run.can_be_undone
    with kept_here():
        back = ran(run_action.request_undo(run, requested_by="otto"))
    assert back.state == ActionRun.State.SUCCEEDED
    assert (tree / "code").read_text() == "release 3"
    assert not run.can_be_undone
    with pytest.raises(OperationFailed, match="nothing to take back"):
        run_action.request_undo(run, requested_by="otto")
    told = set(Entry.objects.values_list("action", flat=True))
    assert {
        "incidents.action.requested",
        "incidents.action.succeeded",
        "incidents.action.undo_requested",
    } <= told


@pytest.mark.parametrize("typed", ["", "Shop", "shop2", "*"])
def test_another_system_typed_runs_nothing_and_is_recorded(prepared, typed):
    with pytest.raises(OperationFailed, match="not the key of the system"):
        asked(prepared, typed)
    assert not ActionRun.objects.exists()
    assert Entry.objects.get(action="incidents.action.refused").result == "refused"


def test_editing_the_prepared_action_changes_nothing_in_flight(prepared, tree):
    run = asked(prepared)
    prepared.options = {"revision": "v2"}
    prepared.save()
    ran(run)
    assert (tree / "code").read_text() == "release 1"


def test_what_did_not_work_says_so(prepared, monkeypatch):
    def verify(self, context, before):
        raise OperationFailed("It is not there.", "Look for it.")

    monkeypatch.setattr(git_checkout.Plugin, "verify", verify)
    run = ran(asked(prepared))
    assert (run.state, run.message, run.hint) == ("not_verified", "It is not there.", "Look for it.")
    assert run.can_be_undone


def test_what_cannot_be_done_changes_nothing(prepared, tree):
    prepared.options = {"revision": "v9"}
    prepared.save()
    run = ran(asked(prepared))
    assert run.state == ActionRun.State.FAILED
    assert (tree / "code").read_text() == "release 3"
    assert not run.can_be_undone


def test_a_worker_that_died_leaves_what_there_was(prepared, tree):
    run = asked(prepared)
    Job.objects.filter(pk=run.job.pk).update(state=State.RUNNING, attempt=1, heartbeat_at=timezone.now())
    before = {
        "commit": git(tree, "rev-parse", "HEAD"),
        "branch": "main",
        "wanted": "x",
        "title": "t",
        "behind": 2,
        "changed": [],
    }
    ActionRun.objects.filter(pk=run.pk).update(state="running", before=before)
    git(tree, "checkout", "-q", "--detach", "v1")
    lose(Job.objects.get(pk=run.job.pk))
    run = ActionRun.objects.get(pk=run.pk)
    assert run.state == ActionRun.State.LOST
    assert "doing it twice does no harm" in run.hint
    with kept_here():
        ran(run_action.request_undo(run, requested_by="otto"))
    assert (tree / "code").read_text() == "release 3"


def test_twice_delivered_it_runs_once(prepared, tree):
    run = ran(asked(prepared))
    git(tree, "checkout", "-q", "main")
    run_job(run.job.pk)
    assert (tree / "code").read_text() == "release 3"


# ---------------------------------------------------------------------- the panel


RUNNER = [*SEE, "view_preparedaction", "view_actionrun", "run_action"]


def test_the_page_says_what_would_be_done_and_does_it(client, prepared, tree):
    client.force_login(person("rita", RUNNER))
    page = reverse("admin:incidents_preparedaction_run", args=[prepared.pk])
    shown = client.get(page).content.decode()
    assert "2 commits are taken back" in shown
    assert not ActionRun.objects.exists()
    refused = client.post(page, {"typed": "other"})
    assert "Type exactly: shop" in refused.content.decode()
    with kept_here():
        answer = client.post(page, {"typed": "shop"})
    run = ActionRun.objects.get()
    assert answer.url == reverse("admin:incidents_actionrun_change", args=[run.pk])
    assert run.requested_by == "rita"
    ran(run)
    shown = client.get(answer.url).content.decode()
    assert "Release 1" in shown and "Take back" in shown
    undo = reverse("admin:incidents_actionrun_undo", args=[run.pk])
    assert client.get(undo).status_code == 200
    with kept_here():
        client.post(undo)
    ran(ActionRun.objects.get(undoes=run))
    assert (tree / "code").read_text() == "release 3"


@pytest.mark.parametrize("right", ["view_preparedaction", "run_action"])
def test_seeing_and_running_are_both_needed(client, prepared, right):
    client.force_login(person("vera", [right]))
    page = reverse("admin:incidents_preparedaction_run", args=[prepared.pk])
    assert client.post(page, {"typed": "shop"}).status_code == 403
    assert not ActionRun.objects.exists()


def test_an_action_is_prepared_on_its_form(as_admin, prepared):
    add = reverse("admin:incidents_preparedaction_add")
    assert "kind=git_checkout" in as_admin.get(add).content.decode()
    data = {
        "system": prepared.system.pk,
        "name": "Another",
        "option-revision": "--force",
        "option-directory": "",
    }
    assert "kind" not in as_admin.post(f"{add}?kind=git_checkout", data).headers.get("Location", "")
    assert not PreparedAction.objects.filter(name="Another").exists()
    as_admin.post(f"{add}?kind=git_checkout", data | {"option-revision": "v2"})
    assert PreparedAction.objects.get(name="Another").options["revision"] == "v2"


# ---------------------------------------------------------------------- the shell


def test_the_shell_looks_runs_and_takes_back(prepared, tree, capsys):
    call_command("action", "list")
    assert "shop  Roll back  [git checkout v1]  never run" in capsys.readouterr().out
    call_command("action", "look", "shop", "Roll back")
    assert "2 commits are taken back" in capsys.readouterr().out
    call_command("action", "run", "shop", "Roll back", "--system-key", "shop", "--yes", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["state"] == "succeeded"
    assert (tree / "code").read_text() == "release 1"
    call_command("action", "undo", str(printed["pk"]), "--yes")
    assert (tree / "code").read_text() == "release 3"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "shop", "Roll forward", "--yes"], 2),
        (["run", "market", "Roll back", "--yes"], 2),
        (["run", "shop", "Roll back", "--yes"], 2),
        (["run", "shop", "Roll back", "--yes", "--system-key", "market"], 1),
        (["undo", "99", "--yes"], 2),
    ],
)
def test_wrong_words_run_nothing(prepared, tree, words, code):
    with pytest.raises(CommandError) as told:
        call_command("action", *words)
    assert told.value.returncode == code
    assert (tree / "code").read_text() == "release 3"
