"""Every day each store is looked at, and people hear once of what was put back, taken out or made anew."""

import shutil
from datetime import timedelta

import pytest
from django.urls import reverse

from backups import watch_stores
from backups.models import Level
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from tests.backups.taking import channel, good, quick, root, told

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


@pytest.fixture
def two(plan):
    plan.level = Level.INTACT
    plan.save()
    return [good(plan), good(plan)]


def day(time_machine=None) -> Job:
    """What the tick asks for, done; it asks for it once."""
    if time_machine:
        time_machine.shift(timedelta(hours=25))
    known = set(Job.objects.values_list("pk", flat=True))
    watch_stores.traces_due()
    watch_stores.traces_due()
    (job,) = Job.objects.filter(kind=watch_stores.KIND).exclude(pk__in=known)
    run_job(job.pk)
    return Job.objects.get(pk=job.pk)


def alarms() -> list:
    return [text for _event, text in told() if "put back," in text or "as the catalogue" in text]


def test_nothing_is_wrong_and_nobody_hears_of_it(two):
    assert day().state == State.SUCCEEDED
    assert alarms() == []
    assert not Entry.objects.filter(action__startswith="backups.succession").exists()


def test_a_store_that_was_put_back_is_told_once_and_so_is_its_return(
    two, destination, time_machine, client, viewer
):
    newest = root(destination) / two[1].prefix
    aside = newest.rename(root(destination).parent / "aside")
    for again in (None, time_machine):
        job = day(again)
        assert job.state == State.FAILED
        assert two[1].identifier in job.message and "older state" in job.message
    assert len(alarms()) == 1
    client.force_login(viewer)
    assert two[1].identifier in client.get(reverse("admin:index")).content.decode()
    shutil.move(aside, newest)
    assert day(time_machine).state == State.SUCCEEDED
    assert len(alarms()) == 2
    assert two[1].identifier not in client.get(reverse("admin:index")).content.decode()
    actions = Entry.objects.filter(action__startswith="backups.succession").order_by("pk")
    assert [entry.action for entry in actions] == [watch_stores.BROKEN, watch_stores.WHOLE]


def test_a_destination_that_does_not_answer_is_no_alarm(two, destination):
    root(destination).rename(root(destination).parent / "away")
    assert day().state == State.FAILED
    assert alarms() == []


def test_a_destination_without_sets_is_not_asked(destination):
    watch_stores.traces_due()
    assert not Job.objects.exists()
