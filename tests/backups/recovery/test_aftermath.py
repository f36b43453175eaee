"""Bad ends: cancelled, overtaken by another attempt, failed after the set was complete."""

from io import BytesIO

import pytest
from django.db import OperationalError

from backups.destinations.local import Plugin as Local
from backups.models import Copy, Destination, Set, Verification
from backups.recovery import aftermath
from backups.storage import publish
from backups.takes import preflight, take
from drcenter.jobs import context as context_module
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.jobs.settle import settle
from drcenter.jobs.work import run_job
from tests.backups.taking import (
    channel,
    good,
    job_of,
    nothing_stored,
    quick,
    root,
    sets_in,
    stop_in,
    taken,
    told,
)  # fmt: skip

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


def given_up(context) -> None:
    """The reaper loses the job, and the worker notices."""
    assert lose(Job.objects.get(pk=context.job.pk))
    context.stop("lost")


@pytest.fixture
def second(plan, tmp_path):
    place = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    place.build().prepare()
    plan.destinations.add(place)
    return place


class TestCancel:
    PHASES = (
        "looking at the sources",
        "dumping",
        "computing the witness",
        "reading back",
        "writing the manifest",
    )

    @pytest.mark.parametrize("phase", PHASES)
    def test_before_the_manifest_nothing_is_left(self, plan, destination, monkeypatch, phase) -> None:
        with monkeypatch.context() as patch:
            stop_in(patch, phase)
            one = taken(plan)
        assert (one.state, one.message) == (Set.State.CANCELLED, "Stopped on request.")
        assert job_of(one).state == State.CANCELLED
        assert nothing_stored(destination)
        assert told() == []
        assert not one.copies.exclude(state=Copy.State.FAILED).exists()
        good(plan)

    @pytest.mark.parametrize("phase", ["copying", "restoring", "comparing"])
    def test_after_it_the_set_stays_and_is_intact(
        self, plan, destination, second, monkeypatch, phase
    ) -> None:
        with monkeypatch.context() as patch:
            stop_in(patch, phase)
            one = taken(plan)
        assert (one.state, one.level) == (Set.State.COMPLETE, "intact")
        assert "Stopped on request." in one.level_reason
        assert job_of(one).state == State.CANCELLED
        assert len(sets_in(destination)) == 1
        assert nothing_stored(second) == (phase == "copying")
        assert not one.copies.filter(state=Copy.State.WRITING).exists()
        assert not Verification.objects.filter(state=Verification.State.RUNNING).exists()
        good(plan)


class TestTakenOver:
    """A worker that stalls, is given up, and wakes up."""

    @pytest.mark.parametrize("phase", TestCancel.PHASES)
    def test_it_publishes_nothing_and_the_second_attempt_is_good(
        self, plan, destination, monkeypatch, phase
    ) -> None:
        with monkeypatch.context() as patch:
            stop_in(patch, phase, lambda context: lose(Job.objects.get(pk=context.job.pk)))
            one = taken(plan)
        assert one.state == Set.State.WAITING
        assert sets_in(destination) == []
        first = one.identifier
        assert run_job(one.job_id) == State.SUCCEEDED
        one.refresh_from_db()
        assert (one.state, one.attempt, one.level) == (Set.State.COMPLETE, 2, "proven")
        assert [found.identifier for found in sets_in(destination)] == [one.identifier] != [first]
        assert not (root(destination) / "shop" / first).exists()

    def test_after_the_manifest_was_written_it_is_withdrawn(self, plan, destination, monkeypatch) -> None:
        original = publish.publish

        def published(taking):
            original(taking)
            lose(Job.objects.get(pk=taking.context.job.pk))

        with monkeypatch.context() as patch:
            patch.setattr(publish, "publish", published)
            one = taken(plan)
        assert one.state == Set.State.WAITING
        assert nothing_stored(destination)

    @pytest.mark.parametrize("phase", ["copying", "restoring", "comparing"])
    def test_a_complete_set_outlives_a_worker_that_was_given_up(
        self, plan, destination, second, monkeypatch, phase
    ) -> None:
        """It stalls after the manifest, and knows that it is lost when it wakes up."""
        stop_in(monkeypatch, phase, given_up)
        one = taken(plan)
        assert (one.state, one.level, job_of(one).state) == (Set.State.COMPLETE, "intact", State.LOST)
        assert [found.identifier for found in sets_in(destination)] == [one.identifier]
        assert nothing_stored(second) == (phase == "copying")
        assert not one.copies.filter(state=Copy.State.WRITING).exists()

    @pytest.mark.parametrize("name", ["checksums.txt", "manifest.json"])
    def test_a_copy_that_was_given_up_stays_failed(
        self, plan, destination, second, monkeypatch, name
    ) -> None:
        """The worker stalls while it stores an object of the second copy, and its heartbeat has seen nothing yet."""
        original, stored = Local.put, []

        def put(self, key, stream, **more):
            if "second" in str(self._root):
                stored.append(key)
                if key.endswith(name):
                    assert lose(Job.objects.get(state=State.RUNNING))
            return original(self, key, stream, **more)

        monkeypatch.setattr(context_module, "BEAT_SECONDS", 60)
        monkeypatch.setattr(Local, "put", put)
        one = taken(plan)
        assert (one.state, len(sets_in(destination))) == (Set.State.COMPLETE, 1)
        assert one.copies.get(destination=second).state == Copy.State.FAILED
        assert nothing_stored(second)
        assert any(key.endswith("manifest.json") for key in stored) == (name == "manifest.json")

    def test_while_the_database_cannot_be_asked_nothing_is_removed(
        self, plan, destination, monkeypatch
    ) -> None:
        """The row became complete, and the answer of the database was lost."""
        original = take._complete

        def complete(taking):
            original(taking)
            taking.published = False
            given_up(taking.context)
            patch.setattr(aftermath.Set.objects, "filter", away)
            taking.context.check()

        def away(**conditions):
            patch.undo()
            raise OperationalError("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(take, "_complete", complete)
            one = taken(plan)
        assert one.state == Set.State.COMPLETE
        assert len(sets_in(destination)) == 1

    def test_what_it_writes_after_others_have_cleaned_up_goes_too(
        self, plan, destination, monkeypatch
    ) -> None:
        original = take._read_back

        def woken(taking):
            original(taking)
            given_up(taking.context)
            assert nothing_stored(destination)
            taking.put("parts/99-late", BytesIO(b"late"))

        monkeypatch.setattr(take, "_read_back", woken)
        assert taken(plan).state == Set.State.WAITING
        assert nothing_stored(destination)

    def test_the_folder_of_a_lost_attempt_goes_whatever_its_copy_says(
        self, plan, destination, monkeypatch
    ) -> None:
        """A worker marks the copy as failed and is killed before it removes anything."""

        def killed(taking, error):
            taking.set.copies.update(state=Copy.State.FAILED)
            lose(Job.objects.get(pk=taking.context.job.pk))

        with monkeypatch.context() as patch:
            patch.setattr(take, "fail", killed)
            stop_in(patch, "reading back", lambda context: context.stop("cancelled") or context.check())
            one = taken(plan)
        assert one.state == Set.State.WAITING
        assert nothing_stored(destination)

    def test_settling_an_old_job_again_does_not_touch_the_new_attempt(
        self, plan, destination, monkeypatch
    ) -> None:
        with monkeypatch.context() as patch:
            stop_in(patch, "dumping", lambda context: lose(Job.objects.get(pk=context.job.pk)))
            one = taken(plan)
        old = Job.objects.filter(kind=take.KIND).order_by("pk").first()
        assert run_job(one.job_id) == State.SUCCEEDED
        Set.objects.filter(pk=one.pk).update(state=Set.State.RUNNING)
        settle(old.pk)
        one.refresh_from_db()
        assert (one.state, one.attempt) == (Set.State.RUNNING, 2)
        assert len(sets_in(destination)) == 1

    def test_it_is_tried_once_more_and_no_further(self, plan, monkeypatch) -> None:
        stop_in(monkeypatch, "dumping", lambda context: lose(Job.objects.get(pk=context.job.pk)))
        one = taken(plan)
        run_job(one.job_id)
        one.refresh_from_db()
        assert (one.state, one.attempt) == (Set.State.LOST, 2)
        assert "no sign of life" in one.message
        assert "memory" in one.hint
        assert Job.objects.filter(kind=take.KIND).count() == 2

    def test_a_plan_may_say_that_it_is_not_tried_again(self, plan, monkeypatch) -> None:
        plan.retry_lost = False
        plan.save()
        stop_in(monkeypatch, "dumping", lambda context: lose(Job.objects.get(pk=context.job.pk)))
        assert taken(plan).state == Set.State.LOST
        assert told()[-1][0] == "failure"

    def test_what_a_person_cancelled_is_not_tried_again(self, plan, monkeypatch) -> None:
        def act(context) -> None:
            Job.objects.filter(pk=context.job.pk).update(cancel_requested_by="anna")
            lose(Job.objects.get(pk=context.job.pk))

        stop_in(monkeypatch, "dumping", act)
        assert taken(plan).state == Set.State.CANCELLED


def test_a_complete_set_is_never_removed_whatever_fails_after_it(plan, destination, monkeypatch) -> None:
    def broken(one):
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(preflight, "check_size", broken)
        one = taken(plan)
    assert (one.state, one.level) == (Set.State.COMPLETE, "intact")
    assert "RuntimeError" in one.level_reason
    assert len(sets_in(destination)) == 1
    assert told()[-1][0] == "warning"


def test_cleaning_that_was_cut_off_is_done_again(plan, destination, monkeypatch) -> None:
    """The process that settles a lost job dies between the row and the store."""

    def cut_off(destination, prefix):
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(aftermath, "withdraw", cut_off)
        stop_in(patch, "reading back", lambda context: lose(Job.objects.get(pk=context.job.pk)))
        one = taken(plan)
    lost = Job.objects.get(pk=one.job_id)
    assert (one.state, lost.settled) == (Set.State.LOST, False)
    settle(lost.pk)
    settle(lost.pk)
    one.refresh_from_db()
    assert one.state == Set.State.WAITING
    assert nothing_stored(destination)
    assert [event for event, _text in told()] == ["failure"]
    assert run_job(one.job_id) == State.SUCCEEDED
    assert len(sets_in(destination)) == 1
