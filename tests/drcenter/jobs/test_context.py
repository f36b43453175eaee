"""Going on after a request to stop, the way back out of a half-done act; and what must not stop the heart."""

import time

import pytest

from drcenter.errors import OperationFailed
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.models import Job, Line, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import run_job
from drcenter.process import Command, run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(edge._Process, "stops", False)


def wait_for_stop(context) -> None:
    end = time.monotonic() + 5
    while not context.reason and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.parametrize("who", ["a person", "the workers"])
def test_the_way_back_is_deaf_to_the_wish_that_led_to_it(register, make_job, who):
    """Every heartbeat sees that wish again: it must not kill the tools of the way back."""
    went_on = []

    def work(context, subject):
        if who == "a person":
            cancel(context.job, "anna")
        else:
            context.workers_stop = True
        wait_for_stop(context)
        context.go_on()
        run(Command(("sleep", "0.6")), children=context.children)
        context.check()
        went_on.append(who)

    register(work)
    assert run_job(make_job().pk) == State.SUCCEEDED
    assert went_on == [who]


def test_a_job_that_was_taken_away_may_not_go_on(register, make_job):
    refused = []

    def work(context, subject):
        context.job.refresh_from_db()
        assert lose(context.job)
        wait_for_stop(context)
        with pytest.raises(OperationFailed, match="taken this job over"):
            context.go_on()
        refused.append(context.reason)

    register(work)
    assert run_job(make_job().pk) == State.LOST
    assert refused == ["lost"]


def test_a_job_that_is_taken_away_on_the_way_back_stops(register, make_job):
    stopped = []

    def work(context, subject):
        context.go_on()
        context.job.refresh_from_db()
        assert lose(context.job)
        wait_for_stop(context)
        with pytest.raises(OperationFailed, match="taken this job over"):
            context.check()
        stopped.append(context.reason)

    register(work)
    assert run_job(make_job().pk) == State.LOST
    assert stopped == ["lost"]


def test_the_name_of_a_file_that_is_not_utf8_can_be_logged(register, make_job):
    def work(context, subject):
        context.phase("reading", "fil\udcff.txt")
        context.log("fil\udcff.txt is not in the source")
        raise OperationFailed("fil\udcff.txt differs")

    register(work)
    job = make_job()
    assert run_job(job.pk) == State.FAILED
    assert Line.objects.get(text__contains="not in the source").text == "fil\\udcff.txt is not in the source"
    job.refresh_from_db()
    assert (job.item, job.message) == ("fil\\udcff.txt", "fil\\udcff.txt differs")


def test_lines_that_cannot_be_written_do_not_stop_the_heart(register, make_job, monkeypatch):
    beaten = []

    def refuse(lines):
        raise ValueError("this database cannot hold it")

    def work(context, subject):
        monkeypatch.setattr(Line.objects, "bulk_create", refuse)
        context.log("at once")
        before = Job.objects.get(pk=context.job.pk).heartbeat_at
        time.sleep(0.5)
        beaten.append(Job.objects.get(pk=context.job.pk).heartbeat_at > before)
        cancel(context.job, "anna")
        wait_for_stop(context)
        context.check()

    register(work)
    assert run_job(make_job().pk) == State.CANCELLED
    assert beaten == [True]
