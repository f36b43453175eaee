"""Waiting for a set before a deployment: through a lost worker, to an exit code that means what it says."""

import io
import os
import signal
import threading
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from backups.engines import sqlite
from backups.engines.base import NoScratch
from backups.models import Copy, Destination, Level, Plan, Set
from backups.shell import waiting
from backups.takes import take
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from tests.backups.taking import quick, root, wait_for

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key")]


def in_thread(act) -> threading.Thread:
    def run() -> None:
        try:
            act()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def newest_job() -> Job:
    wait_for(lambda: Job.objects.filter(state=State.QUEUED).exists())
    return Job.objects.filter(state=State.QUEUED).latest("pk")


def lose_one() -> None:
    """A worker takes it, and dies; whoever notices brings the rows in line."""
    job = newest_job()
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING)
    time.sleep(0.6)
    lose(Job.objects.get(pk=job.pk))


def run(*words: str) -> int:
    try:
        call_command("backup", "run", "shop", "--reason", "deployment", "--wait", *words)
    except SystemExit as error:
        return int(error.code or 0)
    except CommandError as error:
        return error.returncode
    return 0


@pytest.mark.parametrize(("again", "code"), [(True, 0), (False, 1)])
def test_the_repeat_of_a_lost_run_is_waited_for(plan: Plan, capsys, again: bool, code: int) -> None:
    Plan.objects.update(retry_lost=again)

    def work() -> None:
        lose_one()
        if again:
            run_job(newest_job().pk)

    thread = in_thread(work)
    assert run() == code
    thread.join()
    said = capsys.readouterr()
    assert ("once more" in said.out) is again
    taken = Set.objects.get()
    assert (taken.state, taken.reason) == ("complete" if again else "lost", "deployment")
    assert again or "lost" in said.err.lower()


def test_lost_twice_is_a_failure(plan: Plan, capsys) -> None:
    thread = in_thread(lambda: (lose_one(), lose_one()))
    assert run() == 1
    thread.join()
    assert capsys.readouterr().out.count("once more") == 1


def test_nobody_decides(plan: Plan, monkeypatch) -> None:
    """Whoever lost it died before it was settled: it is not waited for without end."""
    monkeypatch.setattr(waiting, "DECIDED_WITHIN", 0.3)
    wanted = take.request(plan, requested_by="otto")
    Job.objects.update(state=State.LOST, settled=False)
    assert waiting.wait_for(wanted, io.StringIO()).state == State.LOST


def work_once() -> None:
    run_job(newest_job().pk)


def test_stored_but_not_proven_needs_attention(plan: Plan, capsys, monkeypatch) -> None:
    Plan.objects.update(level=Level.PROVEN)

    def scratch(self, workspace, facts):
        raise NoScratch("No room for the proof.")

    monkeypatch.setattr(sqlite.Plugin, "scratch", scratch)
    thread = in_thread(work_once)
    assert run() == 3
    thread.join()
    assert Set.objects.get().level == Level.INTACT
    assert "No room for the proof." in capsys.readouterr().out


def test_a_copy_that_failed_needs_attention(plan: Plan, capsys, tmp_path) -> None:
    other = Destination.objects.create(name="z-away", kind="local", options={"path": str(tmp_path / "away")})
    plan.destinations.add(other)
    thread = in_thread(work_once)
    assert run() == 3
    thread.join()
    assert Copy.objects.get(destination=other).state == Copy.State.FAILED
    assert "z-away: " in capsys.readouterr().out


def test_a_set_that_is_complete_is_no_failure(plan: Plan) -> None:
    """The worker ended after it was published: it is there, and less than was asked for."""
    taken = Set(plan=plan, state=Set.State.COMPLETE, level=Level.INTACT)
    job = Job(state=State.FAILED, message="The server went away.")
    assert waiting.shortfall(taken, job) == "The server went away."


def test_ctrl_c_says_how_to_look_and_how_to_stop_it(plan: Plan, capsys, destination) -> None:
    def interrupt() -> None:
        newest_job()
        time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGINT)

    thread = in_thread(interrupt)
    with pytest.raises(CommandError, match="It goes on without you") as caught:
        call_command("backup", "run", "shop", "--wait")
    thread.join()
    assert caught.value.returncode == 3
    assert "manage.py backup list shop" in str(caught.value)
    assert "manage.py backup cancel shop" in str(caught.value)
    call_command("backup", "cancel", "shop")
    assert Job.objects.get().state == State.CANCELLED
    assert Set.objects.get().state == Set.State.CANCELLED
    call_command("backup", "cancel", "shop")
    assert "No backup of shop runs or waits." in capsys.readouterr().out
    assert not any(root(destination).glob("shop/*"))
