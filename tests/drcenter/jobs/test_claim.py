"""Only one worker gets a job."""

import threading

import pytest
from django.db import connection

from drcenter.jobs.models import Job, State

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(acts):
    """Call all acts at the same moment, each with a connection of its own; their results."""
    barrier, results = threading.Barrier(len(acts)), []

    def call(act):
        try:
            barrier.wait()
            results.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_of_many_workers_wins(make_job):
    job = make_job()
    claims = at_once([lambda n=n: Job.objects.claim(job.pk, f"worker {n}") for n in range(8)])
    won = [claim for claim in claims if claim is not None]
    job.refresh_from_db()
    assert len(won) == 1
    assert (job.state, job.worker, job.attempt) == (State.RUNNING, won[0].worker, 1)


def test_one_of_many_jobs_on_a_target_wins(make_job):
    jobs = [make_job(number, target="system:1") for number in range(6)]
    claims = at_once([lambda job=job: Job.objects.claim(job.pk, "w") for job in jobs])
    assert sum(claim is not None for claim in claims) == 1
    assert Job.objects.filter(state=State.QUEUED).count() == 5


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST])
def test_only_a_queued_job_can_be_claimed(make_job, state):
    job = make_job(state=state)
    assert Job.objects.claim(job.pk, "w") is None
    job.refresh_from_db()
    assert (job.state, job.attempt) == (state, 0)


def test_a_job_that_does_not_exist_any_more():
    assert Job.objects.claim(4711, "w") is None
