"""The canary: a locked object whose delete has to be refused, each day, or everybody hears of it."""

import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from backups.models import Canary, Destination
from backups.places import canary
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address
from tests.backups import locks
from tests.backups.destinations import s3_server
from tests.backups.locks import bucket, locking_port, place, s3_keys, short_pauses
from tests.backups.taking import channel, quick, told

__all__ = ["bucket", "channel", "locking_port", "place", "quick", "s3_keys", "short_pauses"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "channel", "short_pauses"),
]


def tried(place: Destination) -> Canary:
    canary.canaries_due()
    for job in Job.objects.filter(kind=canary.KIND, subject=place.pk, state="queued"):
        run_job(job.pk)
    return Canary.objects.get(destination=place)


def later(place: Destination, **time: int) -> None:
    row = Canary.objects.get(destination=place)
    Canary.objects.filter(pk=row.pk).update(tried_at=row.tried_at - timedelta(**time))


def test_a_refused_delete(place, locking_port, bucket):
    row = tried(place)
    assert (row.state, row.mode, row.message) == (Canary.State.REFUSED, "COMPLIANCE", "")
    assert row.until > timezone.now() and row.refused_at == row.tried_at
    (left,) = locks.versions(locking_port, bucket)
    assert left["lock"][0] == "COMPLIANCE"
    assert told() == []


def test_once_a_day(place):
    tried(place)
    later(place, hours=23)
    tried(place)
    assert Job.objects.filter(kind=canary.KIND).count() == 1
    later(place, hours=2)
    tried(place)
    assert Job.objects.filter(kind=canary.KIND).count() == 2


def test_what_earlier_ones_left_goes_when_its_lock_has_ended(place, locking_port, bucket, time_machine):
    store = place.build()
    for name in ("old", "held"):
        store.put(f"canary/{name}", io.BytesIO(b"x"))
    store.lock("canary/held", (timezone.now() + timedelta(days=2)).replace(microsecond=0))
    # Of this machine's clock alone: the store's own decides what is locked.
    canary._remove_ended(place.build())
    assert len(locks.versions(locking_port, bucket)) == 2
    time_machine.shift(timedelta(hours=2))
    canary._remove_ended(place.build())
    assert [one["key"] for one in locks.versions(locking_port, bucket)] == ["drc/canary/held"]


def test_a_delete_that_succeeds_is_an_alarm(place, locking_port, bucket, monkeypatch):
    """Somebody who may bypass GOVERNANCE stands for a store that does not hold to its locks."""
    place.options["lock_mode"] = "GOVERNANCE"
    place.save()
    client = s3_server.client(locking_port)

    def bypass(self, key, version):
        client.delete_object(
            Bucket=bucket, Key=f"drc/{key}", VersionId=version, BypassGovernanceRetention=True
        )

    with monkeypatch.context() as patch:
        patch.setattr("backups.destinations.s3.Plugin.delete_version", bypass)
        row = tried(place)
    assert row.state == Canary.State.DELETED and "do not hold" in row.message and row.refused_at is None
    assert [event for event, _text in told()] == ["failure"]
    later(place, hours=25)
    assert tried(place).state == Canary.State.REFUSED


def test_a_bucket_that_cannot_lock(place, locking_port):
    place.options["bucket"] = s3_server.new_bucket(locking_port)
    place.save()
    row = tried(place)
    assert row.state == Canary.State.UNKNOWN and "cannot be locked" in row.message
    assert [event for event, _text in told()] == ["warning"]
    later(place, minutes=61)
    tried(place)
    assert Job.objects.filter(kind=canary.KIND).count() == 2 and len(told()) == 1


def test_who_may_delete_nothing_proves_nothing(place, monkeypatch):
    from drcenter.errors import OperationFailed

    def refuse(self, key, version):
        raise OperationFailed("the store refuses access", permanent=True)

    monkeypatch.setattr("backups.destinations.s3.Plugin.delete_version", refuse)
    row = tried(place)
    assert row.state == Canary.State.UNKNOWN and "refuses access" in row.message


def test_it_stands_on_the_pages(place, as_viewer):
    tried(place)
    page = as_viewer.get(address(place), follow=True).text.lower()
    assert "the delete was refused" in page and "30 days" in page
    Canary.objects.update(state=Canary.State.DELETED, message="A locked object could be deleted.")
    assert "do not hold" in as_viewer.get(reverse("admin:index")).text
