"""Copies are locked once they were verified, and are never said to be locked unless the store says so."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from django.urls import reverse
from django.utils import timezone

from backups.models import Copy, Level, Lock, Pin, Retention
from backups.places import locking
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address
from tests.backups import locks
from tests.backups.destinations import s3_server
from tests.backups.locks import bucket, locking_port, place, s3_keys, short_pauses
from tests.backups.taking import channel, good, quick, told

__all__ = ["bucket", "channel", "locking_port", "place", "quick", "s3_keys", "short_pauses"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "key", "channel", "short_pauses"),
]


def locked(copy: Copy) -> Lock:
    """Let the tick ask, and the job run here; the row afterwards."""
    locking.lock_due()
    for job in Job.objects.filter(kind=locking.KIND, subject=copy.pk, state="queued"):
        run_job(job.pk)
    return Lock.objects.get(copy=copy)


@pytest.fixture
def copy(plan, place):
    return good(plan).copies.get()


def test_every_object_of_a_copy_is_locked_and_none_before_it_was_verified(copy, locking_port, bucket):
    before = locks.versions(locking_port, bucket)
    assert before and all(one["lock"] == (None, None) for one in before)
    lock = locked(copy)
    assert (lock.state, lock.mode, lock.message) == (Lock.State.HELD, "COMPLIANCE", "")
    assert timedelta(days=30) <= lock.until - copy.set.moment <= timedelta(days=30, seconds=2)
    after = locks.versions(locking_port, bucket)
    assert len(after) == len(before) == lock.objects_count
    assert {one["lock"] for one in after} == {("COMPLIANCE", lock.until)}
    assert any(one["key"].endswith("/manifest.json") for one in after)
    client = s3_server.client(locking_port)
    for one in after:
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=bucket, Key=one["key"], VersionId=one["version"])
    assert Entry.objects.filter(action="backups.lock.held").count() == 1


def test_it_is_asked_for_once(copy):
    locking.lock_due()
    locking.lock_due()
    assert Job.objects.filter(kind=locking.KIND).count() == 1
    locked(copy)
    locking.lock_due()
    assert Job.objects.filter(kind=locking.KIND).count() == 1


def test_a_lock_is_made_longer_and_never_shorter(copy, place, locking_port, bucket):
    first = locked(copy).until
    locking.extend(copy, first - timedelta(days=20))
    assert locked(copy).until == first
    longer = first + timedelta(days=300)
    locking.extend(copy, longer)
    assert locked(copy).until == longer
    place.options["lock_days"] = 1
    place.save()
    assert locked(copy).until == longer
    assert {one["lock"][1] for one in locks.versions(locking_port, bucket)} == {longer}


def test_what_is_pinned_stays_locked(copy, time_machine):
    first = locked(copy).until
    pin = Pin.objects.create(
        set=copy.set, token="t", reason="audit", pinned_at=timezone.now(), pinned_by="anna"
    )
    assert locked(copy).until == first
    time_machine.shift(timedelta(days=20))
    longer = locked(copy).until
    assert timedelta(days=19) < longer - first < timedelta(days=21)
    assert locked(copy).until == longer
    Pin.objects.filter(pk=pin.pk).update(released_at=timezone.now())
    time_machine.shift(timedelta(days=20))
    assert locked(copy).until == longer


def test_a_class_of_retention_makes_it_longer(copy):
    first = locked(copy).until
    plan = copy.set.plan
    plan.retention = Retention.objects.create(name="shorter", lock_days=20)
    plan.save()
    assert locked(copy).until == first
    Retention.objects.update(lock_days=60)
    longer = locked(copy).until
    assert longer - first == timedelta(days=30)
    assert locked(copy).until == longer


def test_more_days_lock_older_copies_longer(copy, place):
    first = locked(copy).until
    place.options["lock_days"] = 40
    place.save()
    assert locked(copy).until - first == timedelta(days=10)


def test_a_stronger_mode_is_what_the_store_is_asked_for_again(copy, place):
    place.options["lock_mode"] = "GOVERNANCE"
    place.save()
    assert locked(copy).mode == "GOVERNANCE"
    place.options |= {"lock_mode": "COMPLIANCE", "lock_days": 31}
    place.save()
    assert locked(copy).mode == "COMPLIANCE"


def test_a_bucket_that_cannot_lock_is_told_as_that(plan, place, locking_port):
    place.options["bucket"] = s3_server.new_bucket(locking_port)
    place.save()
    copy = good(plan).copies.get()
    lock = locked(copy)
    assert (lock.state, lock.mode, lock.until) == (Lock.State.NOT_HELD, "", None)
    assert "cannot be locked" in lock.message and not lock.holds(timezone.now())
    assert [text for event, text in told() if event == "failure"] == [
        f"{copy} is not locked\n{lock.message} {lock.hint}".strip()
    ]
    # It is tried again later, told once, and locked as soon as the store can.
    locking.lock_due()
    assert Job.objects.filter(kind=locking.KIND).count() == 1
    Lock.objects.update(checked_at=timezone.now() - locking.AGAIN - timedelta(minutes=1))
    assert locked(copy).state == Lock.State.NOT_HELD
    assert Job.objects.filter(kind=locking.KIND).count() == 2
    assert len([event for event, _text in told() if event == "failure"]) == 1


def test_what_is_damaged_is_not_locked(copy, locking_port, bucket):
    part = copy.set.parts.first()
    key = f"drc/{copy.set.prefix}{part.key}"
    s3_server.client(locking_port).put_object(Bucket=bucket, Key=key, Body=b"\0" * part.stored_size)
    Copy.objects.filter(pk=copy.pk).update(level=Level.STORED)
    lock = locked(copy)
    assert lock.state == Lock.State.NOT_HELD and "digest of the stored bytes" in lock.message
    assert all(one["lock"] == (None, None) for one in locks.versions(locking_port, bucket))


def test_what_was_replaced_after_it_was_read_back_is_noticed_by_its_size(copy, locking_port, bucket):
    part = copy.set.parts.first()
    key = f"drc/{copy.set.prefix}{part.key}"
    s3_server.client(locking_port).put_object(Bucket=bucket, Key=key, Body=b"another")
    assert "the stored size is 7" in locked(copy).message


def test_without_days_nothing_is_locked(copy, place):
    place.options["lock_days"] = None
    place.save()
    locking.lock_due()
    assert not Lock.objects.exists() and not Job.objects.filter(kind=locking.KIND).exists()


def test_it_stands_on_the_pages(copy, as_viewer):
    lock = locked(copy)
    page = as_viewer.get(address(copy.set)).text
    assert "COMPLIANCE until" in page
    page = as_viewer.get(address(copy)).text
    assert "COMPLIANCE" in page and lock.until.isoformat(timespec="seconds")[:10] in page
    lock.state, lock.message = Lock.State.NOT_HELD, "the store refuses access"
    lock.save()
    for url in (address(copy.set), address(copy), reverse("admin:index")):
        page = as_viewer.get(url, follow=True).text.lower()
        assert "not locked" in page and "compliance" not in page, url
    assert "the store refuses access" in as_viewer.get(address(copy)).text
