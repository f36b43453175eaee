"""Which jobs are lost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import Reaper
from drcenter.jobs.work import run_job

pytestmark = pytest.mark.django_db


class Clock:
    """The reaper's own clock, which nobody sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reaper(clock):
    return Reaper(clock)


@pytest.fixture
def running(make_job, register):
    told = []
    register(ended=lambda job: told.append(job.state))
    job = make_job(state=State.RUNNING, attempt=1, worker="w", heartbeat_at=timezone.now())
    job.told = told
    return job


def rounds(reaper, clock, count, beat=None):
    for _ in range(count):
        reaper()
        clock.now += 15
        if beat:
            beat()


def state(job):
    return Job.objects.get(pk=job.pk).state


def beating(job):
    return lambda: Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now())


def test_a_silent_job_is_lost_after_thirty_seconds_and_its_kind_is_told_once(reaper, clock, running):
    rounds(reaper, clock, 2)
    assert state(running) == State.RUNNING
    rounds(reaper, clock, 3)
    assert state(running) == State.LOST
    assert running.told == ["lost"]
    assert Job.objects.get(pk=running.pk).settled


def test_two_reapers_tell_the_kind_once(clock, running):
    one, other = Reaper(clock), Reaper(clock)
    for _ in range(5):
        one()
        other()
        clock.now += 15
    assert running.told == ["lost"]


def test_a_job_whose_heart_beats_stays(reaper, clock, running):
    rounds(reaper, clock, 10, beat=beating(running))
    assert state(running) == State.RUNNING


@pytest.mark.parametrize(
    "jump", [timedelta(days=-400), timedelta(hours=-1), timedelta(hours=1), timedelta(days=400)]
)
def test_a_clock_that_is_set_neither_loses_a_good_job_nor_keeps_a_dead_one(
    reaper, clock, running, time_machine, jump
):
    rounds(reaper, clock, 1, beat=beating(running))
    time_machine.move_to(datetime.now(UTC) + jump)
    rounds(reaper, clock, 4, beat=beating(running))
    assert state(running) == State.RUNNING
    rounds(reaper, clock, 4)
    assert state(running) == State.LOST


def test_after_an_outage_of_the_database_hearts_get_time_to_beat_again(reaper, clock, running):
    rounds(reaper, clock, 1)
    clock.now += 300
    rounds(reaper, clock, 2, beat=beating(running))
    assert state(running) == State.RUNNING


def test_a_reaper_that_could_hardly_write_does_not_judge(reaper, clock, running, monkeypatch):
    from drcenter.jobs import reap

    def blocked():
        clock.now += 18

    monkeypatch.setattr(reap, "_probe", blocked)
    rounds(reaper, clock, 6)
    assert state(running) == State.RUNNING


def test_waiting_and_ended_jobs_are_let_alone(reaper, clock, make_job, register):
    register()
    jobs = [make_job(number, state=one) for number, one in enumerate(State) if one != State.RUNNING]
    rounds(reaper, clock, 6)
    assert [state(job) for job in jobs] == [job.state for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_a_new_attempt_is_judged_anew(reaper, clock, make_job, register):
    register()
    job = make_job(state=State.RUNNING, attempt=1, heartbeat_at=None)
    rounds(reaper, clock, 2)
    Job.objects.filter(pk=job.pk).update(attempt=2)
    rounds(reaper, clock, 2)
    assert state(job) == State.RUNNING
    rounds(reaper, clock, 2)
    assert state(job) == State.LOST
    assert run_job(job.pk) == "skipped"
