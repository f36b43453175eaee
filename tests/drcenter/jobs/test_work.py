"""The edge between queue and work."""

import sqlite3
import threading
import time

import pytest
from django.db import connection
from django_q.exceptions import TimeoutException

from drcenter.errors import Cancelled, OperationFailed
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.models import Job, Line, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import run_job
from drcenter.secrets import resolve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)


def raising(error):
    def work(context, subject):
        raise error

    return work


ENDS = [
    (None, State.SUCCEEDED, ""),
    (OperationFailed("The server is away.", "Start it.", permanent=True), State.FAILED, "The server is away."),
    (Cancelled(), State.CANCELLED, "Stopped on request."),
    (ValueError("odd"), State.FAILED, "An unexpected error: ValueError: odd"),
    (SystemExit(3), State.FAILED, "An unexpected error: SystemExit: 3"),
    (KeyboardInterrupt(), State.CANCELLED, "Stopped by Ctrl-C."),
    (GeneratorExit(), State.FAILED, "An unexpected error: GeneratorExit: "),
    (TimeoutException("Task exceeded maximum timeout value (5 seconds)"), State.FAILED,
     "It took longer than jobs may: Task exceeded maximum timeout value (5 seconds)."),
]  # fmt: skip


@pytest.mark.parametrize(("error", "state", "message"), ENDS, ids=lambda value: str(value)[:30])
def test_the_row_says_how_it_ended_and_the_kind_is_told_once(register, make_job, error, state, message):
    told = []
    register(raising(error) if error else lambda c, s: None, ended=lambda job: told.append(job.state))
    job = make_job()
    assert run_job(job.pk) == state
    job.refresh_from_db()
    assert (job.state, job.message, job.settled) == (state, message, True)
    assert job.finished_at is not None
    assert told == [state]


def test_hint_and_permanence_of_a_failure_are_kept(register, make_job):
    register(raising(OperationFailed("No.", "Try this.", permanent=True)))
    job = make_job()
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.hint, job.permanent) == ("Try this.", True)


def test_delivered_twice_runs_once(register, make_job):
    runs = []
    register(lambda context, subject: runs.append(subject))
    job = make_job(7)
    assert [run_job(job.pk), run_job(job.pk)] == ["succeeded", "skipped"]
    assert runs == [7]


def test_a_kind_that_nobody_registered_fails_and_says_so(make_job):
    job = make_job(kind="gone")
    assert run_job(job.pk) == State.FAILED
    job.refresh_from_db()
    assert "KeyError" in job.message


def test_secrets_stay_out_of_rows(register, make_job, monkeypatch):
    monkeypatch.setenv("A_PASSWORD", "hunter2-hunter2")

    def work(context, subject):
        secret = resolve("env:A_PASSWORD").reveal()
        context.log(f"trying {secret}")
        context.phase(f"with {secret}", f"on {secret}")
        raise ValueError(f"refused {secret}")

    register(work)
    job = make_job()
    run_job(job.pk)
    job.refresh_from_db()
    text = " ".join([job.message, job.phase, job.item, *Line.objects.values_list("text", flat=True)])
    assert "hunter2" not in text
    assert text.count("[redacted]") == 4


def test_a_stalled_worker_that_wakes_up_writes_nothing(register, make_job, monkeypatch):
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 1000)
    told = []

    def work(context, subject):
        # It stalls; meanwhile the reaper gives the job up.
        assert lose(Job.objects.get(pk=context.job.pk))
        context.phase("goes on", "as if nothing had been")

    register(work, ended=lambda job: told.append(job.state))
    job = make_job()
    assert run_job(job.pk) == State.LOST
    job.refresh_from_db()
    assert (job.state, job.phase) == (State.LOST, "")
    assert told == ["lost"]


def test_a_worker_notices_that_its_job_was_taken_away(register, make_job):
    stopped = []

    def work(context, subject):
        lose(Job.objects.get(pk=context.job.pk))
        try:
            wait_for_stop(context)
        except OperationFailed as error:
            stopped.append(str(error))
            raise

    register(work)
    assert run_job(make_job().pk) == State.LOST
    assert "taken this job over" in stopped[0]


def wait_for_stop(context, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.check()
        time.sleep(0.02)


def test_cancel_of_a_running_job(register, make_job):
    def work(context, subject):
        cancel(context.job, "anna")
        wait_for_stop(context)

    register(work)
    job = make_job()
    assert run_job(job.pk) == State.CANCELLED
    job.refresh_from_db()
    assert (job.message, job.cancel_requested_by) == ("Stopped on request.", "anna")


def test_cancel_of_a_waiting_job_ends_it_at_once(register, make_job):
    told = []
    register(ended=lambda job: told.append(job.state))
    job = make_job()
    assert cancel(job, "anna")
    assert run_job(job.pk) == "skipped"
    assert not cancel(job, "anna")
    assert told == ["cancelled"]


def test_the_stop_signal_ends_the_job_and_claims_no_other(register, make_job, monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.RECYCLE", 1)

    def work(context, subject):
        edge._on_stop(0, None)
        wait_for_stop(context)

    register(work)
    first, second = make_job(1), make_job(2)
    assert [run_job(first.pk), run_job(second.pk)] == [State.CANCELLED, "skipped"]
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.message == "The workers were stopped while it ran."
    assert second.state == State.QUEUED


def test_the_end_is_written_though_the_database_is_away_as_it_comes(register, make_job):
    blocker = []

    def work(context, subject):
        context.log("nearly done")
        blocker.append(make_unreachable())

    register(work)
    job = make_job()
    assert run_job(job.pk) == State.SUCCEEDED
    blocker[0].join()
    job.refresh_from_db()
    assert (job.state, job.settled) == (State.SUCCEEDED, True)


def test_log_and_progress_bear_a_database_that_is_away(register, make_job):
    def work(context, subject):
        blocker = make_unreachable()
        context.log("first")
        context.phase("dump", "orders", 100)
        context.advance(40)
        blocker.join()
        context.log("second")

    register(work)
    job = make_job()
    assert run_job(job.pk) == State.SUCCEEDED
    assert list(job.lines.values_list("text", flat=True)) == ["first", "second"]


def make_unreachable(seconds=2.0):
    """The panel's database refuses this thread for a while: a long writer, or a server that drops the session."""
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA busy_timeout = 50")
        return _write_for(seconds, connection.settings_dict["NAME"])
    from psycopg import connect

    one = connection.settings_dict
    pid = connection.connection.info.backend_pid
    with connect(
        host=one["HOST"], port=one["PORT"], user=one["USER"], password=one["PASSWORD"], dbname="postgres"
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    thread = threading.Thread(target=time.sleep, args=(0.1,))
    thread.start()
    return thread


def _write_for(seconds, path):
    begun = threading.Event()

    def write():
        other = sqlite3.connect(path, timeout=20, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun.set()
        time.sleep(seconds)
        other.execute("COMMIT")
        other.close()

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    return thread


def test_lines_of_other_threads_arrive_in_order(register, make_job):
    def work(context, subject):
        for number in range(3):
            thread = threading.Thread(target=context.log, args=(f"line {number}",))
            thread.start()
            thread.join()

    register(work)
    job = make_job()
    run_job(job.pk)
    assert list(job.lines.values_list("text", flat=True)) == ["line 0", "line 1", "line 2"]


def test_progress_is_seen_while_it_runs(register, make_job):
    seen = []

    def work(context, subject):
        context.phase("dump", "orders", 1000)
        context.advance(400)
        time.sleep(0.5)
        row = Job.objects.get(pk=context.job.pk)
        seen.append((row.phase, row.item, row.bytes_done, row.percent, row.rate > 0))

    register(work)
    run_job(make_job().pk)
    assert seen == [("dump", "orders", 400, 40, True)]


def test_what_the_kind_does_at_the_end_may_fail_and_comes_again(register, make_job, time_machine):
    from drcenter.jobs.settle import settle_rest

    told = []

    def ended(job):
        told.append(job.state)
        if len(told) == 1:
            raise OSError("the store is away")

    register(ended=ended)
    job = make_job()
    assert run_job(job.pk) == State.SUCCEEDED
    job.refresh_from_db()
    assert (job.state, job.settled) == (State.SUCCEEDED, False)
    settle_rest()
    assert len(told) == 1
    time_machine.shift(700)
    settle_rest()
    settle_rest()
    assert told == ["succeeded", "succeeded"]
