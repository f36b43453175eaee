"""Workers that are killed, in each phase of a set, and workers that are given the same task."""

import os
import signal
from pathlib import Path

import pytest
from django.conf import settings

from backups import leftovers
from backups.models import Copy, Destination, Set, Verification
from backups.takes import take
from drcenter import process_tree
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from tests.backups.taking import channel, good, nothing_stored, quick, root, sets_in, told, wait_for
from tests.live.dying_worker import run_and_die, started

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]

STATE = Path(settings.STATE_DIR)


@pytest.fixture
def second(plan, tmp_path):
    place = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    place.build().prepare()
    plan.destinations.add(place)
    return place


@pytest.fixture(autouse=True)
def much_data(uploads):
    """Enough that a dump has a middle."""
    for number in range(4):
        (Path(uploads.options["path"]) / f"large{number}").write_bytes(os.urandom(1 << 20))


def named(text: str) -> list[str]:
    """Command lines of all processes that hold `text`."""
    found = []
    for process in process_tree.parents():
        try:
            line = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in line and process != os.getpid():
            found.append(line)
    return found


def killed(plan, phase: str) -> Set:
    """A set whose worker was killed in `phase`, after the reaper has seen it."""
    wanted = take.request(plan, requested_by="anna")
    assert run_and_die(wanted.job_id, phase, STATE) == -signal.SIGKILL
    wanted.refresh_from_db()
    job = Job.objects.get(pk=wanted.job_id)
    assert job.state == State.RUNNING
    assert lose(job)
    wanted.refresh_from_db()
    return wanted


BEFORE = (
    "looking at the sources",
    "dumping",
    "bytes",
    "computing the witness",
    "reading back",
    "writing the manifest",
)


@pytest.mark.parametrize("phase", BEFORE)
def test_before_the_manifest_the_set_is_lost_and_taken_again(
    plan, destination, tmp_path, monkeypatch, phase
) -> None:
    one = killed(plan, phase)
    lost = Job.objects.get(state=State.LOST)
    assert "no sign of life" in lost.message
    assert "memory" in lost.hint
    assert [event for event, _text in told()] == ["failure"]
    assert nothing_stored(destination)
    wait_for(lambda: named(str(tmp_path)) == [], 5, "no child is left")
    monkeypatch.setattr(leftovers, "GRACE", 0)
    leftovers.sweep_all()
    assert [path for place in ("scratch", "tmp") for path in (STATE / place).glob("*-*")] == []
    assert (one.state, one.attempt) == (Set.State.WAITING, 1)
    assert run_job(one.job_id) == State.SUCCEEDED
    one.refresh_from_db()
    assert (one.state, one.attempt, one.level) == (Set.State.COMPLETE, 2, "proven")
    assert len(sets_in(destination)) == 1


@pytest.mark.parametrize("phase", ["copying", "restoring", "comparing"])
def test_after_the_manifest_the_set_stays_intact(plan, destination, second, phase) -> None:
    one = killed(plan, phase)
    assert (one.state, one.level) == (Set.State.COMPLETE, "intact")
    assert "no sign of life" in one.level_reason
    assert Job.objects.filter(kind=take.KIND).count() == 1
    assert not Verification.objects.filter(state=Verification.State.RUNNING).exists()
    assert not Copy.objects.filter(state=Copy.State.WRITING).exists()
    assert [found.identifier for found in sets_in(destination)] == [one.identifier]
    assert nothing_stored(second) == (phase == "copying")
    good(plan)


def test_killed_while_it_copies_leaves_nothing_half_there(plan, destination, second) -> None:
    """The second destination holds parts without a manifest when the worker dies."""
    one = killed(plan, "half a copy")
    assert one.copies.get(destination=second).state == Copy.State.FAILED
    assert nothing_stored(second)


def test_killed_twice_it_is_given_up(plan, destination) -> None:
    one = killed(plan, "dumping")
    assert run_and_die(one.job_id, "dumping", STATE) == -signal.SIGKILL
    lose(Job.objects.get(pk=one.job_id))
    one.refresh_from_db()
    assert (one.state, one.attempt) == (Set.State.LOST, 2)
    assert nothing_stored(destination)
    good(plan)


def test_two_workers_are_given_the_same_task(plan, destination) -> None:
    wanted = take.request(plan, requested_by="anna")
    workers = [started(wanted.job_id, "none", STATE) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    wanted.refresh_from_db()
    assert (wanted.state, wanted.attempt, wanted.level) == (Set.State.COMPLETE, 1, "proven")
    assert [found.identifier for found in sets_in(destination)] == [wanted.identifier]


def test_two_plans_of_one_system_never_run_at_once(plan, destination) -> None:
    first, second = (take.request(plan, requested_by="anna") for _ in range(2))
    worker = started(first.job_id, "none", STATE)
    wait_for(lambda: Job.objects.get(pk=first.job_id).state == State.RUNNING, 20, "it runs")
    assert run_job(second.job_id) == "skipped" or worker.poll() is not None
    assert worker.wait(60) == 0
    assert Job.objects.get(pk=second.job_id).state in {State.QUEUED, State.SUCCEEDED}
    assert root(destination).exists()
