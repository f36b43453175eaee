"""The gate before production: a second person, exactly that plan, in time, once; and the way without one."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from backups.models import Approval, Recovery, Source
from backups.recovery import approval, begin, break_glass, digest, restore
from backups.storage import generation
from drcenter.audit.models import Entry, Result
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.notify.models import Channel, Delivery
from tests.backups.approving import requester, second, somebody
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)
WHY = "The shop is down, and nobody else can be reached"


@pytest.fixture
def channels(db) -> None:
    Channel.objects.create(name="everything", url="env:NONE", on_success=True)
    Channel.objects.create(name="deaf", url="env:NONE", on_failure=False)
    Channel.objects.create(name="off", url="env:NONE", enabled=False)


def planned(scene: Scene, **changes) -> Recovery:
    given = {"sources": [], "typed_host": scene.typed, "requested_by": "otto", "user": requester()} | changes
    return restore.request_production(scene.copy, reason="rows are gone", **given)


def approved(scene: Scene) -> Recovery:
    row = planned(scene)
    approval.approve(row, user=second(), seen=row.digest)
    row.refresh_from_db()
    return row


def refusals() -> list[tuple[str, str]]:
    found = Entry.objects.filter(action="backups.approval.refused", result=Result.REFUSED).order_by("pk")
    return [(entry.actor, entry.facts["reason"]) for entry in found]


def test_nothing_runs_before_the_approval_and_what_ran_is_what_was_shown(scene: Scene) -> None:
    before = scene.everything()
    scene.damage()
    row = planned(scene)
    assert (row.state, row.job, Job.objects.filter(kind=restore.KIND).count()) == ("planned", None, 0)
    assert row.digest == digest.digest(row.plan) and len(row.digest) == 64
    assert row.plan["commands"]["stop"] == scene.copy.set.system.__class__.objects.get().pause_command
    with pytest.raises(OperationFailed, match="cannot begin"):
        begin.begin(row, actor="otto", identity=scene.identity)
    shown = row.digest
    approval.approve(row, user=second(), seen=shown)
    begun = begin.begin(row, actor="otto", identity=scene.identity)
    assert scene.ran(begun).state == Recovery.State.SUCCEEDED
    held = Approval.objects.get()
    assert (held.digest, held.by, held.used_at is not None) == (shown, "beate", True)
    assert scene.everything() == before
    told = {entry.action: entry.facts for entry in Entry.objects.all()}
    assert told["backups.approval.second"]["digest"] == shown
    assert told["backups.restore.requested"]["user"] == "otto"


class TestWho:
    def test_nobody_approves_their_own_superusers_neither(self, scene: Scene) -> None:
        User.objects.create_superuser("otto", password="x")
        row = planned(scene)
        with pytest.raises(OperationFailed, match="asked for themselves"):
            approval.approve(row, user=User.objects.get(username="otto"), seen=row.digest)
        assert not Approval.objects.exists()
        assert refusals() == [
            ("otto", "Nobody approves what they have asked for themselves; administrators neither.")
        ]

    def test_a_new_name_makes_nobody_another_person(self, scene: Scene) -> None:
        row = planned(scene)
        user = User.objects.get(username="otto")
        user.username, user.is_superuser = "anna", True
        user.save()
        with pytest.raises(OperationFailed, match="asked for themselves"):
            approval.approve(row, user=user, seen=row.digest)

    def test_the_right_is_needed_and_an_account_that_lives(self, scene: Scene) -> None:
        row = planned(scene)
        for user in (
            somebody("vera", "restore_production", "break_glass"),
            somebody("gone", "approve_recovery"),
        ):
            user.is_active = user.username != "gone"
            user.save()
            with pytest.raises(OperationFailed, match="right to approve"):
                approval.approve(row, user=user, seen=row.digest)
        assert [actor for actor, _why in refusals()] == ["vera", "gone"]

    def test_what_only_the_shell_knows_nobody_can_approve(self, scene: Scene) -> None:
        row = planned(scene, user=None, requested_by="shell:root")
        with pytest.raises(OperationFailed, match="Nobody knows which user"):
            approval.approve(row, user=second(), seen=row.digest)
        row = planned(scene, user=None, requested_by="shell:beate")
        with pytest.raises(OperationFailed, match="asked for themselves"):
            approval.approve(row, user=second(), seen=row.digest)

    def test_two_at_once_one_of_them_has_it(self, scene: Scene) -> None:
        row = planned(scene)
        users = [second(), somebody("carl", "approve_recovery")]
        ends: list[str] = []
        together = threading.Barrier(2)

        def decide(user: User) -> None:
            together.wait()
            try:
                approval.approve(row, user=user, seen=row.digest)
                ends.append("approved")
            except OperationFailed as error:
                ends.append(error.message)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=decide, args=(user,)) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ends.count("approved") == 1 and len(ends) == 2, ends
        assert Approval.objects.count() == 1

    def test_twice_is_told(self, scene: Scene) -> None:
        row = approved(scene)
        with pytest.raises(OperationFailed, match="waits for no approval"):
            approval.approve(row, user=somebody("carl", "approve_recovery"), seen=row.digest)


CHANGES = {
    "start commands": lambda scene: scene.commands(resume_command=[["true"]]),
    "user of the commands": lambda scene: scene.commands(commands_user="nobody"),
    "options of the source database": lambda scene: Source.objects.filter(pk=scene.database.pk).update(
        options={**scene.database.options, "critical_tables": []}
    ),
    "target of the source uploads": lambda scene: Source.objects.filter(pk=scene.uploads.pk).update(
        options={**scene.uploads.options, "path": "/srv/elsewhere"}
    ),
    "the set or its destination": lambda scene: scene.copy.set.parts.filter(source_name="uploads").update(
        stored_sha256="0" * 64
    ),
    "options": lambda scene: Recovery.objects.update(skip_safety=True),
}


class TestChangedSince:
    @pytest.mark.parametrize("what", CHANGES)
    def test_before_it_begins(self, scene: Scene, what: str) -> None:
        row = approved(scene)
        CHANGES[what](scene)
        with pytest.raises(OperationFailed) as caught:
            begin.begin(row, actor="otto", identity=scene.identity)
        assert what in caught.value.message
        row.refresh_from_db()
        assert (row.state, row.job) == (Recovery.State.VOID, None)
        assert what in row.message
        assert Approval.objects.get().state == Approval.State.ENDED

    def test_before_it_is_approved(self, scene: Scene) -> None:
        row = planned(scene)
        scene.commands(resume_command=[["true"]])
        with pytest.raises(OperationFailed, match="start commands"):
            approval.approve(row, user=second(), seen=row.digest)
        assert not Approval.objects.exists()

    def test_while_it_waits_for_a_worker(self, scene: Scene) -> None:
        damaged = scene.damage()
        row = begin.begin(approved(scene), actor="otto", identity=scene.identity)
        scene.commands(pause_command=[scene.command("other-stop")])
        row = scene.ran(row)
        assert (row.state, scene.said) == (Recovery.State.FAILED, [])
        assert "stop commands" in row.message
        assert scene.everything() == damaged

    def test_after_the_worker_has_compared_it_changes_nothing_any_more(
        self, scene: Scene, monkeypatch
    ) -> None:
        """What is run is what was compared, not what stands in the database by then."""
        before = scene.everything()
        scene.damage()
        original = approval.still_granted

        def change(held: Approval) -> None:
            original(held)
            scene.commands(resume_command=[scene.command("intruder")])
            Source.objects.filter(pk=scene.uploads.pk).update(options={"path": "/nowhere"})

        monkeypatch.setattr(approval, "still_granted", change)
        row = scene.ran(begin.begin(approved(scene), actor="otto", identity=scene.identity))
        assert row.state == Recovery.State.SUCCEEDED, row.message
        assert "intruder" not in scene.said and scene.everything() == before

    def test_another_digest_than_the_one_read(self, scene: Scene) -> None:
        row = planned(scene)
        with pytest.raises(OperationFailed, match="another one by now"):
            approval.approve(row, user=second(), seen="0" * 64)

    def test_statements_of_another_kind_are_part_of_it(self, scene: Scene) -> None:
        row = approval.plan(
            restore.RESTORE, scene.copy, sources=[scene.database], requested_by="otto", user=requester(),
            payload={"statements": ["DELETE FROM orders WHERE id = 7"]},
        )  # fmt: skip
        approval.approve(row, user=second(), seen=row.digest)
        row.refresh_from_db()
        row.plan["payload"]["statements"].append("DROP TABLE orders")
        row.save()
        with pytest.raises(OperationFailed):
            begin.begin(row, actor="otto", identity=scene.identity)


class TestInTime:
    def test_a_plan_runs_out(self, scene: Scene, settings) -> None:
        settings.APPROVAL_MINUTES = 10
        row = planned(scene)
        with time_machine.travel(timezone.now() + timedelta(minutes=11), tick=True):
            with pytest.raises(OperationFailed, match="Its time is over"):
                approval.approve(row, user=second(), seen=row.digest)
            approval.expire_due()
        row.refresh_from_db()
        assert row.state == Recovery.State.VOID

    def test_an_approval_runs_out(self, scene: Scene) -> None:
        row = approved(scene)
        with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=True):
            with pytest.raises(OperationFailed, match="has run out"):
                begin.begin(row, actor="otto", identity=scene.identity)
            approval.expire_due()
        row.refresh_from_db()
        assert (row.state, Approval.objects.get().state) == (Recovery.State.VOID, Approval.State.ENDED)

    def test_it_runs_out_while_it_waits_for_a_worker(self, scene: Scene) -> None:
        row = begin.begin(approved(scene), actor="otto", identity=scene.identity)
        Approval.objects.update(expires_at=timezone.now())
        row = scene.ran(row)
        assert (row.state, scene.said) == (Recovery.State.FAILED, [])
        assert "has run out" in row.message

    def test_once(self, scene: Scene) -> None:
        row = approved(scene)
        begun = begin.begin(row, actor="otto", identity=scene.identity)
        for _time in range(2):
            with pytest.raises(OperationFailed, match="cannot begin"):
                begin.begin(row, actor="otto", identity=scene.identity)
        assert scene.ran(begun).state == Recovery.State.SUCCEEDED
        with pytest.raises(OperationFailed, match="cannot begin"):
            begin.begin(row, actor="otto", identity=scene.identity)
        assert run_job(begun.job.pk) == "skipped"
        assert Job.objects.filter(kind=restore.KIND).count() == 1

    def test_taken_back(self, scene: Scene) -> None:
        row = approved(scene)
        approval.refuse(row, user=second(), why="it was the wrong set after all")
        row.refresh_from_db()
        assert (row.state, Approval.objects.get().state) == (Recovery.State.REFUSED, Approval.State.REVOKED)
        with pytest.raises(OperationFailed):
            begin.begin(row, actor="otto", identity=scene.identity)
        with pytest.raises(OperationFailed, match="nothing to refuse"):
            approval.refuse(row, user=second(), why="again")

    def test_taken_back_while_the_parts_are_read(self, scene: Scene, monkeypatch) -> None:
        row = begin.begin(approved(scene), actor="otto", identity=scene.identity)
        original = restore.check_parts

        def check_parts(recovering):
            Approval.objects.update(state=Approval.State.REVOKED)
            original(recovering)

        monkeypatch.setattr(restore, "check_parts", check_parts)
        row = scene.ran(row)
        assert (row.state, scene.said) == (Recovery.State.FAILED, [])
        assert "taken back" in row.message

    def test_a_stranger_refuses_nothing(self, scene: Scene) -> None:
        row = planned(scene)
        with pytest.raises(OperationFailed, match="right to approve"):
            approval.refuse(row, user=somebody("vera"), why="no")
        approval.refuse(row, user=requester(), why="not needed any more")
        row.refresh_from_db()
        assert row.state == Recovery.State.REFUSED

    def test_a_database_that_was_put_back_brings_no_approval_back(self, scene: Scene) -> None:
        row = approved(scene)
        generation.close_everything()
        row.refresh_from_db()
        assert row.state == Recovery.State.VOID
        assert not Approval.objects.filter(state=Approval.State.GRANTED).exists()


class TestBreakGlass:
    @pytest.mark.parametrize("reason", ["", "   ", "urgent", "urgent urgent urgent urgent", "a b c d"])
    def test_a_reason_is_a_sentence(self, scene: Scene, reason: str) -> None:
        row = planned(scene)
        with pytest.raises(OperationFailed, match="Say it in a sentence"):
            break_glass.break_glass(row, actor="otto", user=requester(), reason=reason)
        assert not Approval.objects.exists()

    def test_it_needs_its_right(self, scene: Scene) -> None:
        row = planned(scene)
        with pytest.raises(OperationFailed, match="right to go ahead"):
            break_glass.break_glass(row, actor="otto", user=requester(), reason=WHY)
        assert refusals()

    def test_all_channels_are_told_and_it_waits_for_another_person(self, scene: Scene, channels) -> None:
        before = scene.everything()
        scene.damage()
        row = planned(scene)
        otto = somebody("otto", "break_glass", "approve_recovery")
        found = break_glass.break_glass(row, actor="otto", user=otto, reason=WHY)
        alarms = Delivery.objects.filter(event="alarm")
        assert sorted(alarms.values_list("channel__name", flat=True)) == ["deaf", "everything"]
        assert WHY in alarms.first().body and f"/recovery/{row.pk}/" in alarms.first().body
        begun = begin.begin(row, actor="otto", identity=scene.identity)
        assert scene.ran(begun).state == Recovery.State.SUCCEEDED
        assert scene.everything() == before
        assert list(break_glass.unreviewed()) == [found]
        with pytest.raises(OperationFailed, match="Somebody else"):
            break_glass.review(found, user=otto, text="it was all quite fine with me")
        with pytest.raises(OperationFailed, match="Say it in a sentence"):
            break_glass.review(found, user=second(), text="ok")
        break_glass.review(found, user=second(), text="it was needed, and the right set was taken")
        assert not break_glass.unreviewed().exists()
        with pytest.raises(OperationFailed, match="reviewed already"):
            break_glass.review(Approval.objects.get(), user=second(), text="it was needed, and the right set")

    def test_who_broke_it_on_the_shell_under_their_name_does_not_review_it(self, scene: Scene) -> None:
        row = planned(scene, user=None, requested_by="shell:beate")
        found = break_glass.break_glass(row, actor="shell:beate", user=None, reason=WHY, via="shell")
        assert break_glass.why_not_review(found, second())
        assert not break_glass.why_not_review(found, somebody("carl", "approve_recovery"))

    def test_a_review_that_is_late_is_asked_for_once_a_day(self, scene: Scene, channels) -> None:
        row = planned(scene)
        break_glass.break_glass(row, actor="otto", user=somebody("otto", "break_glass"), reason=WHY)
        Delivery.objects.all().delete()
        break_glass.remind_due()
        assert not Delivery.objects.exists()
        for days, expected in ((3.1, 2), (3.5, 2), (4.2, 4)):
            with time_machine.travel(timezone.now() + timedelta(days=days), tick=True):
                break_glass.remind_due()
                break_glass.remind_due()
            assert Delivery.objects.filter(event="alarm").count() == expected

    def test_what_changed_is_void_here_too(self, scene: Scene, tmp_path: Path) -> None:
        row = planned(scene)
        scene.commands(commands_directory=str(tmp_path))
        with pytest.raises(OperationFailed, match="directory of the commands"):
            break_glass.break_glass(row, actor="otto", user=somebody("otto", "break_glass"), reason=WHY)


def test_the_message_that_asks_leads_to_the_page(scene: Scene, channels, settings) -> None:
    settings.PANEL_URL = "https://dr.example.org"
    row = planned(scene)
    asked = Delivery.objects.get(event="request")
    assert f"https://dr.example.org/admin/backups/recovery/{row.pk}/change/" in asked.body
    assert "otto: rows are gone" in asked.body
