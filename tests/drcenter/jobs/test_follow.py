"""Following a job on a terminal, and running one in this process."""

import io
import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from drcenter.jobs import context as context_module
from drcenter.jobs import follow as follow_module
from drcenter.jobs import work as edge
from drcenter.jobs.follow import Follower, follow, run_here
from drcenter.jobs.models import Job, Line, State

pytestmark = pytest.mark.django_db(transaction=True)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(follow_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)


def test_lines_come_once_and_without_a_terminal_nothing_replaces_itself(make_job):
    job, out = make_job(state=State.RUNNING, phase="dumping", item="db"), io.StringIO()
    follower = Follower(job, out)
    Line.objects.create(job=job, text="one")
    follower.show()
    Line.objects.create(job=job, text="two")
    follower.show()
    assert out.getvalue() == "  one\n  two\n"


def test_progress_on_a_terminal_fits_one_line(make_job, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    job = make_job(
        state=State.RUNNING, phase="dumping", item="database: " + "x" * 90, bytes_done=50_000_000,
        bytes_expected=100_000_000, rate=10_000_000,
    )  # fmt: skip
    out = Screen()
    follower = Follower(job, out)
    follower.show()
    assert max(len(line) for line in out.getvalue().split("\r")) == 59
    Job.objects.update(item="db")
    follower.show()
    assert "\r  dumping db: 47.7 MiB 50 %, 9.5 MiB/s, 5 s" in out.getvalue()
    # What was longer before is wiped out.
    assert len(out.getvalue().rpartition("\r")[2]) == 59
    Job.objects.update(state=State.SUCCEEDED)
    follower.show()
    assert out.getvalue().endswith(" \r")


def test_a_terminal_that_went_away_stops_nothing(make_job):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    follower = Follower(make_job(state=State.RUNNING), Gone())
    follower.say("one")
    follower.say("two")


def test_waiting_says_that_nobody_works(make_job, monkeypatch):
    job, out = make_job(), io.StringIO()
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(follow_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        follow_module.time, "sleep",
        lambda seconds: "No worker" in out.getvalue() and Job.objects.update(state=State.SUCCEEDED),
    )  # fmt: skip
    assert follow(job, out).state == State.SUCCEEDED
    assert "No worker has taken it for" in out.getvalue()
    assert "manage.py run starts them" in out.getvalue()


def test_running_here(register, make_job):
    register(lambda context, subject: context.log(f"works on {subject}"))
    job, out = make_job(), io.StringIO()
    before = signal.getsignal(signal.SIGINT)
    assert run_here(job, out).state == State.SUCCEEDED
    assert out.getvalue() == "  works on 1\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_it_waits_for_its_turn(register, make_job):
    register()
    other = make_job(subject=2, target="target:1", state=State.RUNNING)
    job, out = make_job(), io.StringIO()
    threading.Timer(0.4, lambda: _update(other, State.SUCCEEDED)).start()
    assert run_here(job, out).state == State.SUCCEEDED
    assert out.getvalue().count("It waits for job 2, which runs on the same system.") == 1


def _update(job, state) -> None:
    from django.db import connections

    Job.objects.filter(pk=job.pk).update(state=state)
    connections.close_all()


def test_what_is_dead_is_not_waited_for(register, make_job, monkeypatch):
    """At night, without workers and ticks, nobody else sees that a worker died."""
    monkeypatch.setattr(follow_module, "STALE_AFTER", timedelta(seconds=0.3))
    ended = []
    register(ended=lambda job: ended.append((job.subject, job.state)))
    dead = make_job(subject=2, target="target:1", state=State.RUNNING)
    assert run_here(make_job(), io.StringIO()).state == State.SUCCEEDED
    dead.refresh_from_db()
    assert dead.state == State.LOST
    assert ended[0] == (2, State.LOST)


def test_the_first_ctrl_c_asks_and_the_second_breaks_off(register, make_job):
    def work(context, subject):
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            context.check()
            time.sleep(0.02)

    register(work)
    job, out = make_job(), io.StringIO()
    job = run_here(job, out, "shell:anna")
    assert (job.state, job.cancel_requested_by) == (State.CANCELLED, "shell:anna")
    assert "It stops in order." in out.getvalue()

    def deaf(context, subject):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    register(deaf)
    job = run_here(make_job(subject=3), io.StringIO())
    assert (job.state, job.message) == (State.CANCELLED, "Stopped by Ctrl-C.")


def test_ctrl_c_while_it_waits_leaves_nothing_that_would_begin_later(register, make_job):
    register()
    make_job(subject=2, target="target:1", state=State.RUNNING)
    job = make_job()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    assert run_here(job, io.StringIO()).state == State.CANCELLED


def test_a_lost_terminal_stops_nothing(register, make_job):
    def work(context, subject):
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.1)
        context.check()

    register(work)
    assert run_here(make_job(), io.StringIO()).state == State.SUCCEEDED
