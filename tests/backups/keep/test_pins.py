"""Pins: in the catalogue, in the storage, and back from there."""

import shutil

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups.keep import pins
from backups.models import Copy, Destination, Pin, Rebuild, Set
from drcenter.audit.models import Entry, Result
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address
from tests.backups.keeping_sets import kept_set
from tests.backups.rebuild.catalogue import lose_everything
from tests.backups.rebuild.test_rebuild import rebuilt
from tests.backups.taking import good, quick, root

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


def stored(one: Pin) -> Pin:
    run_job(Job.objects.filter(kind=pins.KIND, subject=one.pk).latest("pk").pk)
    return Pin.objects.get(pk=one.pk)


def records(one: Set, destination: Destination) -> list[str]:
    return [found.key for found in destination.build().list(f"{one.prefix}records/")]


@pytest.fixture
def taken(plan, key):
    plan.level = "intact"
    plan.save()
    return good(plan)


def test_a_pin_lies_beside_every_copy_and_survives_the_loss_of_the_catalogue(
    taken, destination, key, settings, tmp_path
):
    before = len(records(taken, destination))
    made = stored(pins.pin(taken, reason="the audit of 2026", actor="ada"))
    assert made.stored_at.get() == taken.copies.get()
    assert len(records(taken, destination)) == before + 1
    assert not pins.outstanding().exists()
    pem = lose_everything(settings, tmp_path)
    rebuilt(root(destination), pem=pem)
    found = Pin.objects.get()
    assert (found.set.identifier, found.token, found.released_at) == (taken.identifier, made.token, None)
    assert found.reason == pins.SEALED
    rebuilt(root(destination), pem=pem, identity=key.identity)
    found.refresh_from_db()
    assert (found.reason, found.pinned_by) == ("the audit of 2026", "ada")


def test_a_release_survives_too(taken, destination, key, settings, tmp_path):
    stored(pins.pin(taken, reason="audit", actor="ada"))
    stored(pins.release(taken, reason="audit is over", actor="otto"))
    pem = lose_everything(settings, tmp_path)
    rebuilt(root(destination), pem=pem, identity=key.identity)
    found = Pin.objects.get()
    assert (found.released_by, found.release_reason) == ("otto", "audit is over")


def test_a_forged_record_releases_nothing(taken, destination, key, settings, tmp_path):
    stored(pins.pin(taken, reason="audit", actor="ada"))
    stored(pins.release(taken, reason="over", actor="otto"))
    newest = root(destination) / max(records(taken, destination))
    newest.write_bytes(newest.read_bytes().replace(b"true", b"True"))
    pem = lose_everything(settings, tmp_path)
    done: Rebuild = rebuilt(root(destination), pem=pem, identity=key.identity)
    assert Pin.objects.get().released_at is None
    assert any("A record is left out" in text for text in done.findings)


def test_a_destination_that_is_away_gets_it_later(plan, destination, tmp_path, time_machine):
    one = kept_set(plan, 1)
    away = tmp_path / "away"
    shutil.move(root(destination), away)
    made = pins.pin(one, reason="audit", actor="ada")
    job = Job.objects.get(kind=pins.KIND)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    pins.store_due()
    assert Job.objects.filter(kind=pins.KIND).count() == 1
    shutil.move(away, root(destination))
    time_machine.shift(3700)
    pins.store_due()
    stored(made)
    assert not pins.outstanding().exists()
    # A copy that is made up for gets it as well.
    Pin.stored_at.through.objects.all().delete()
    assert pins.outstanding().get() == made


def test_a_second_delivery_writes_nothing_more(plan, destination):
    one = kept_set(plan, 1)
    made = stored(pins.pin(one, reason="audit", actor="ada"))
    pins.store_job(_Quiet(), made.pk)
    assert len(records(one, destination)) == 1


class _Quiet:
    def phase(self, *words):
        pass


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_reason_is_asked_for(plan, reason):
    one = kept_set(plan, 1)
    with pytest.raises(OperationFailed, match="Say why"):
        pins.pin(one, reason=reason, actor="ada")


def test_what_makes_no_sense_is_refused(plan):
    one = kept_set(plan, 1)
    with pytest.raises(OperationFailed, match="not pinned"):
        pins.release(one, reason="x", actor="ada")
    pins.pin(one, reason="audit", actor="ada")
    with pytest.raises(OperationFailed, match="already"):
        pins.pin(one, reason="audit", actor="ada")
    gone = kept_set(plan, 2)
    gone.copies.update(state=Copy.State.REMOVING)
    with pytest.raises(OperationFailed, match="no copy"):
        pins.pin(gone, reason="audit", actor="ada")


def test_from_the_shell(plan, capsys):
    one = kept_set(plan, 1)
    with pytest.raises(CommandError, match="Name the set itself"):
        call_command("backup", "pin", "shop", "--reason", "audit")
    call_command("backup", "pin", str(one), "--reason", "audit")
    assert f"{one} stays: audit" in capsys.readouterr().out
    assert Entry.objects.get(action="backups.set.pinned").facts == {"reason": "audit"}
    call_command("backup", "unpin", one.identifier, "--reason", "over")
    assert Pin.objects.get().release_reason == "over"


def test_in_the_panel(as_operator, plan):
    one = kept_set(plan, 1)
    assert as_operator.get(address(one, "pin")).status_code == 200
    assert not Pin.objects.exists()
    as_operator.post(address(one, "pin"), {"reason": "<b>audit</b>"})
    page = as_operator.get(address(one)).text
    assert ("Pinned: it stays" in page, "&lt;b&gt;audit" in page, "<b>audit" in page) == (True, True, False)
    as_operator.post(address(one, "unpin"), {"reason": "over"})
    assert Pin.objects.get().released_by == "otto"


def test_a_viewer_may_not(as_viewer, plan):
    one = kept_set(plan, 1)
    assert as_viewer.post(address(one, "pin"), {"reason": "x"}).status_code == 403
    assert Entry.objects.get().result == Result.REFUSED
    assert not Pin.objects.exists()
