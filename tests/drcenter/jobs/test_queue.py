"""What goes into the queue, when it goes again, and whether it comes out."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_q.models import OrmQ, Task

from drcenter.jobs import pulse
from drcenter.jobs.dispatch import send_waiting_again
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, Pulse, State
from drcenter.jobs.prune import prune_jobs, prune_queue
from drcenter.jobs.ticks import run_all

pytestmark = pytest.mark.django_db


def messages():
    return sorted((message.key, message.name()) for message in OrmQ.objects.all())


@pytest.fixture
def ask(register, django_capture_on_commit_callbacks):
    register()

    def ask(subject=1, **options):
        with django_capture_on_commit_callbacks(execute=True):
            return enqueue("test", subject, target=f"t:{subject}", title="a job", **options)

    return ask


class TestEnqueue:
    def test_the_message_goes_when_the_transaction_commits(self, ask, register):
        job = ask(requested_by="anna")
        job.refresh_from_db()
        assert (job.state, job.requested_by) == (State.QUEUED, "anna")
        assert job.sent_at is not None
        assert messages() == [("long", f"job {job.pk}")]
        register(cluster="short")
        assert [*messages(), ("short", f"job {ask(2).pk}")] == messages()

    def test_what_waits_already_is_not_asked_for_twice(self, ask):
        assert ask().pk == ask().pk
        Job.objects.update(state=State.RUNNING)
        assert Job.objects.count() == 1
        ask()
        assert Job.objects.count() == 2

    def test_the_database_refuses_a_second_waiting_job_of_a_subject(self, make_job):
        make_job()
        with pytest.raises(IntegrityError), transaction.atomic():
            make_job(target="elsewhere")

    def test_a_queue_that_cannot_be_reached_leaves_the_job_to_the_dispatcher(self, ask, monkeypatch):
        def away(*words, **options):
            raise OSError("away")

        with monkeypatch.context() as patch:
            patch.setattr("django_q.tasks.async_task", away)
            job = ask()
        job.refresh_from_db()
        assert (job.state, job.sent_at, messages()) == (State.QUEUED, None, [])
        send_waiting_again()
        assert messages() == [("long", f"job {job.pk}")]


class TestDispatch:
    def test_a_forgotten_message_is_sent_again(self, ask, time_machine):
        ask()
        OrmQ.objects.all().delete()
        send_waiting_again()
        assert messages() == []
        time_machine.shift(31)
        send_waiting_again()
        send_waiting_again()
        assert len(messages()) == 1

    def test_a_message_that_waits_is_not_sent_again(self, ask, time_machine):
        ask()
        for _ in range(5):
            time_machine.shift(60)
            send_waiting_again()
        assert len(messages()) == 1

    def test_a_message_in_the_hands_of_a_dead_cluster_is_sent_once_more(self, ask, time_machine):
        ask()
        OrmQ.objects.update(lock=timezone.now() + timedelta(days=3))
        for _ in range(5):
            time_machine.shift(60)
            send_waiting_again()
        assert len(messages()) == 2

    def test_a_job_whose_target_is_busy_waits(self, ask, make_job, time_machine):
        job = ask()
        OrmQ.objects.all().delete()
        make_job(2, target=job.target, state=State.RUNNING)
        time_machine.shift(60)
        send_waiting_again()
        assert messages() == []

    def test_a_clock_set_back_does_not_keep_it_waiting(self, ask, time_machine):
        ask()
        OrmQ.objects.all().delete()
        time_machine.shift(timedelta(days=-30))
        send_waiting_again()
        assert len(messages()) == 1


class TestPulse:
    def test_one_a_minute_and_none_while_the_last_one_is_out(self, time_machine):
        pulse.send_pulses()
        pulse.send_pulses()
        time_machine.shift(61)
        pulse.send_pulses()
        assert messages() == [("long", "pulse long"), ("short", "pulse short")]
        pulse.seen("short")
        pulse.send_pulses()
        pulse.send_pulses()
        assert messages() == [("long", "pulse long"), ("short", "pulse short"), ("short", "pulse short")]

    def test_a_cluster_that_does_not_answer_is_silent_however_often_it_is_asked(self, time_machine):
        for _ in range(10):
            pulse.send_pulses()
            time_machine.shift(60)
        assert pulse.silent(timezone.now()) == ["short", "long", "ticks"]

    def test_long_work_is_no_silence(self, make_job, register, time_machine):
        register()
        pulse.send_pulses()
        make_job(state=State.RUNNING)
        time_machine.shift(600)
        assert "long" not in pulse.silent(timezone.now())
        assert "short" in pulse.silent(timezone.now())

    @pytest.mark.django_db(transaction=True)
    def test_an_answer_ends_the_silence(self, time_machine):
        pulse.send_pulses()
        time_machine.shift(600)
        pulse.seen("short")
        pulse.seen("long")
        run_all()
        assert pulse.silent(timezone.now()) == []

    @pytest.mark.django_db(transaction=True)
    def test_ticks_that_stopped_are_noticed(self, time_machine):
        run_all()
        assert pulse.silent(timezone.now()) == []
        time_machine.shift(301)
        assert "ticks" in pulse.silent(timezone.now())

    def test_a_clock_set_back_does_not_stop_the_pulses(self, time_machine):
        pulse.send_pulses()
        pulse.seen("short")
        time_machine.shift(timedelta(days=-2))
        pulse.send_pulses()
        assert messages().count(("short", "pulse short")) == 2
        pulse.seen("short")
        assert "short" not in pulse.silent(timezone.now())


@pytest.mark.django_db(transaction=True)
class TestTicks:
    def test_one_that_fails_or_hangs_does_not_stop_the_others(self, monkeypatch):
        from drcenter.jobs import registry, ticks

        def broken():
            raise ValueError("odd")

        def hanging():
            import time

            time.sleep(30)

        done = []
        acts = {"a": broken, "b": hanging, "c": lambda: done.append(1)}
        monkeypatch.setattr(registry, "_ticks", acts)
        monkeypatch.setattr(ticks, "LONGEST", 1)
        assert run_all() == ["a", "b"]
        assert done == [1]

    def test_every_tick_of_the_product_runs_on_an_empty_installation(self):
        assert run_all() == []
        assert Pulse.objects.filter(cluster="ticks", seen_at__isnull=False).exists()


class TestPrune:
    def test_old_ended_jobs_go_with_their_logs(self, make_job):
        now = timezone.now()
        old = make_job(1, state=State.SUCCEEDED, finished_at=now - timedelta(days=91))
        old.lines.create(text="a line")
        kept = [
            make_job(2, state=State.SUCCEEDED, finished_at=now - timedelta(days=89)),
            make_job(3, state=State.RUNNING),
            make_job(4, state=State.QUEUED),
        ]
        assert prune_jobs(now - timedelta(days=90)) == 1
        assert set(Job.objects.all()) == set(kept)

    def test_records_of_the_queue_go(self):
        now = timezone.now()
        for number, days in enumerate([8, 6]):
            at = now - timedelta(days=days)
            Task.objects.create(id=str(number), name="x", func="f", started=at, stopped=at, success=False)
        assert prune_queue(now - timedelta(days=7)) == 1
        assert Task.objects.count() == 1
