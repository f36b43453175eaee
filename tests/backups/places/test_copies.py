"""Destinations that are away for a while, added later, or asked for; and a source that is damaged."""

import pytest
from django.core.management import CommandError, call_command

from backups import verify
from backups.destinations.local import MARKER, Plugin
from backups.models import Copy, Destination, Level, Set
from backups.places import copies, copying
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from tests.backups.taking import channel, good, objects_in, quick, root, sets_in, stop_in, taken, verified

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


@pytest.fixture
def plan(plan):
    plan.level = Level.INTACT
    plan.save()
    return plan


@pytest.fixture
def second(tmp_path):
    place = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    place.build().prepare()
    return place


@pytest.fixture
def away(second):
    """Called, it goes away; called again, it is back."""
    marker, hidden = root(second) / MARKER, root(second).parent / "hidden"

    def switch() -> None:
        marker.rename(hidden) if marker.exists() else hidden.rename(marker)

    return switch


def tick() -> list[Job]:
    """What the ticks ask for, done here."""
    copies.make_up_due()
    jobs = list(Job.objects.filter(kind=copies.KIND, state=State.QUEUED))
    for job in jobs:
        run_job(job.pk)
        job.refresh_from_db()
    return jobs


def states(second) -> dict[str, str]:
    return dict(
        Copy.objects.filter(destination=second).order_by("set").values_list("set__identifier", "state")
    )


class TestAwayForADay:
    def test_nothing_is_lost_and_it_is_made_up_for_in_order(
        self, plan, second, away, time_machine, monkeypatch
    ) -> None:
        plan.destinations.add(second)
        away()
        sets = [good(plan) for _hour in range(4)]
        assert set(states(second).values()) == {"failed", "awaited"}
        for _hour in range(3):
            time_machine.shift(2 * 3600)
            (job,) = tick()
            assert (job.state, bool(job.message)) == (State.FAILED, True)
        away()
        time_machine.shift(2 * 3600)
        original, done = copying.copy, []

        def noted(source, *more, **named):
            done.append(source.prefix)
            original(source, *more, **named)

        monkeypatch.setattr(copying, "copy", noted)
        (job,) = tick()
        assert job.state == State.SUCCEEDED, (job.message, job.hint)
        assert done == [one.prefix for one in (sets[3], *sets[:3])]
        assert set(states(second).values()) == {"complete"}
        assert {found.identifier for found in sets_in(second)} == {one.identifier for one in sets}
        for copy in Copy.objects.filter(destination=second):
            check = verify.request(copy, "intact", requested_by="vera")
            run_job(check.job_id)
            check.refresh_from_db()
            assert "Every stored byte has its digest" in check.message
        second.refresh_from_db()
        assert (second.failures, second.retry_at, second.fault) == (0, None, "")

    def test_no_storm(self, plan, second, away, time_machine) -> None:
        """It is tried less and less often, and not at all by each take."""
        plan.destinations.add(second)
        away()
        good(plan)
        tries = 0
        for _minute in range(24 * 60):
            time_machine.shift(60)
            copies.make_up_due()
            tries += Job.objects.filter(kind=copies.KIND, state=State.QUEUED).count()
            for job in Job.objects.filter(kind=copies.KIND, state=State.QUEUED):
                run_job(job.pk)
        assert 20 <= tries <= 40

    def test_while_it_is_left_alone_a_take_does_not_wait_for_it(
        self, plan, second, away, monkeypatch
    ) -> None:
        plan.destinations.add(second)
        away()
        good(plan)
        away()  # It is back, but nobody has looked yet.
        monkeypatch.setattr(copying, "copy", lambda *_all: pytest.fail("it was tried"))
        one = good(plan)
        copy = one.copies.get(destination=second)
        assert copy.state == Copy.State.WAITING
        assert MARKER in copy.message


class TestAskedFor:
    def test_a_set_is_copied_without_an_identity(self, plan, second, destination) -> None:
        one = good(plan)
        copies.request(one, second, requested_by="anna")
        (job,) = tick()
        assert job.state == State.SUCCEEDED
        copy = one.copies.get(destination=second)
        assert (copy.state, copy.level) == ("complete", "stored")
        here, there = root(destination) / one.prefix, root(second) / one.prefix
        names = [
            path.relative_to(here)
            for path in here.rglob("*")
            if path.is_file() and path.parent.name != "records"
        ]
        assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
        actions = list(Entry.objects.order_by("pk").values_list("action", flat=True))
        assert actions[-2:] == ["backups.copy.requested", "backups.copy.completed"]
        with pytest.raises(OperationFailed, match="is complete"):
            copies.request(one, second, requested_by="anna")

    def test_a_new_destination_gets_the_newest_good_sets(self, plan, second) -> None:
        good(plan)
        newest = [good(plan), good(plan)]
        bad = good(plan)
        Set.objects.filter(pk=bad.pk).update(capped=True, level="stored")
        copies.request_newest(plan, second, 2, requested_by="anna")
        tick()
        assert set(states(second)) == {one.identifier for one in newest}

    def test_what_cannot_be_is_refused(self, plan, second, destination) -> None:
        one = good(plan)
        second.enabled = False
        second.save()
        with pytest.raises(OperationFailed, match="switched off"):
            copies.request(one, second, requested_by="anna")
        one.copies.update(state=Copy.State.DAMAGED)
        with pytest.raises(OperationFailed, match="no complete copy"):
            copies.request(one, destination, requested_by="anna")

    def test_a_damaged_copy_is_made_anew_from_a_good_one(self, plan, second, destination) -> None:
        plan.destinations.add(second)
        one = good(plan)
        part = root(second) / one.prefix / one.parts.first().key
        part.write_bytes(b"damaged")
        one.copies.filter(destination=second).update(state=Copy.State.DAMAGED)
        copies.request(one, second, requested_by="anna")
        tick()
        assert one.copies.get(destination=second).state == "complete"
        assert part.read_bytes() != b"damaged"


class TestBadSources:
    def test_damage_is_not_copied_and_the_source_is_looked_at(self, plan, second, destination) -> None:
        one = good(plan)
        part = root(destination) / one.prefix / one.parts.first().key
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
        copies.request(one, second, requested_by="anna")
        (job,) = tick()
        assert job.state == State.FAILED
        copy = one.copies.get(destination=second)
        assert copy.state == Copy.State.WAITING and "is damaged where it is copied from" in copy.message
        assert [key for key in objects_in(second) if key.startswith(one.prefix)] == []
        run_job(Job.objects.get(kind=verify.KIND).pk)
        assert one.copies.get(destination=destination).state == Copy.State.DAMAGED

    def test_the_next_good_copy_is_taken(self, plan, second, destination, tmp_path) -> None:
        plan.destinations.add(second)
        one = good(plan)
        (root(destination) / one.prefix / one.parts.first().key).write_bytes(b"x")
        third = Destination.objects.create(
            name="third", kind="local", options={"path": str(tmp_path / "third")}
        )
        third.build().prepare()
        copies.request(one, third, requested_by="anna")
        tick()
        assert one.copies.get(destination=third).state == "complete"

    def test_a_target_that_gives_back_other_bytes_gets_no_set(self, plan, second, monkeypatch) -> None:
        one = good(plan)
        monkeypatch.setattr(copying, "_digest", lambda target, key: "0" * 64)
        copies.request(one, second, requested_by="anna")
        (job,) = tick()
        assert "does not come back" in job.message
        assert sets_in(second) == []


class TestWorkersThatEnd:
    def test_a_job_that_is_cancelled_leaves_nothing_half_and_can_go_on(
        self, plan, second, monkeypatch
    ) -> None:
        one = good(plan)
        copies.request(one, second, requested_by="anna")
        with monkeypatch.context() as patch:
            stop_in(patch, "copying")
            (job,) = tick()
        assert job.state == State.CANCELLED
        assert one.copies.get(destination=second).state == Copy.State.WAITING
        assert sets_in(second) == []
        (job,) = tick()
        assert job.state == State.SUCCEEDED

    def test_a_worker_that_was_killed(self, plan, second) -> None:
        one = good(plan)
        copy = copies.request(one, second, requested_by="anna")
        job = Job.objects.get(kind=copies.KIND)
        Job.objects.filter(pk=job.pk).update(state=State.LOST, message="killed")
        Copy.objects.filter(pk=copy.pk).update(state=Copy.State.WRITING, job=job)
        (root(second) / one.prefix).mkdir(parents=True)
        (root(second) / one.prefix / "log.txt").write_text("half")
        job.refresh_from_db()
        copies.ended(job)
        copy.refresh_from_db()
        assert (copy.state, copy.message) == ("awaited", "killed")
        assert sets_in(second) == []
        (job,) = tick()
        assert job.state == State.SUCCEEDED, job.message
        assert (root(second) / one.prefix / "log.txt").read_text() != "half"

    def test_what_an_earlier_try_has_copied_is_not_sent_again(self, plan, second, monkeypatch) -> None:
        """The destination goes away in the middle; what is there, and whole, stays."""
        one = good(plan)
        copies.request(one, second, requested_by="anna")
        sent: list[str] = []
        original = Plugin.put

        def put(self, key, stream, **more):
            if len(sent) == 3:
                sent.append("away")
                raise OperationFailed("It went away.", "Wait.")
            sent.append(key)
            return original(self, key, stream, **more)

        monkeypatch.setattr(Plugin, "put", put)
        (job,) = tick()
        assert job.state == State.FAILED and sets_in(second) == []
        done, sent[:] = sent[:3], ["now"]
        assert len(objects_in(second)) == 3
        Destination.objects.update(retry_at=None)
        # One of them was changed since.
        changed = root(second) / done[0]
        changed.chmod(0o600)
        changed.write_bytes(b"x" * changed.stat().st_size)
        monkeypatch.setattr(
            Plugin,
            "put",
            lambda self, key, stream, **more: sent.append(key) or original(self, key, stream, **more),
        )
        (job,) = tick()
        assert job.state == State.SUCCEEDED, job.message
        assert done[0] in sent and not {*done[1:]} & {*sent}
        assert verified(one.copies.get(destination=second), Level.STORED).state == "passed"

    def test_a_set_that_retention_let_go_meanwhile_is_not_brought_back(
        self, plan, second, monkeypatch
    ) -> None:
        one = good(plan)
        copies.request(one, second, requested_by="anna")
        original = copying.copy

        def copy(*arguments):
            original(*arguments)
            Set.objects.update(state=Set.State.REMOVED)

        monkeypatch.setattr(copying, "copy", copy)
        tick()
        assert sets_in(second) == []


def test_a_failed_copy_of_a_plan_is_made_up_for_and_one_of_no_plan_is_not(plan, second) -> None:
    one = taken(plan)
    Copy.objects.create(set=one, destination=second, state=Copy.State.FAILED)
    assert tick() == []
    plan.destinations.add(second)
    assert [job.state for job in tick()] == [State.SUCCEEDED]


class TestOnTheShell:
    def test_a_set_and_the_newest_ones(self, plan, second, capsys) -> None:
        good(plan), good(plan)
        call_command("backup", "copy", "shop", "second")
        assert len(sets_in(second)) == 1
        call_command("backup", "copy", "shop", "second", "--newest", "5")
        assert len(sets_in(second)) == 2
        call_command("backup", "copy", "shop", "second", "--newest", "5")
        assert "It is there already." in capsys.readouterr().out

    def test_a_destination_that_is_away(self, plan, second, away, capsys) -> None:
        good(plan)
        away()
        with pytest.raises(SystemExit) as ended:
            call_command("backup", "copy", "shop", "second")
        assert ended.value.code == 1
        assert MARKER in capsys.readouterr().err

    def test_one_that_nobody_knows(self, plan) -> None:
        with pytest.raises(CommandError, match="There is no destination offsite"):
            call_command("backup", "copy", "shop", "offsite")
