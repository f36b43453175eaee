"""How long a restore takes, as it was measured."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.models import Recovery, Verification
from backups.recovery import restore_time

NOW = timezone.now()


def proof(copy, hours: float, **facts) -> Verification:
    return Verification.objects.create(
        copy=copy,
        state=Verification.State.PASSED,
        reached="proven",
        facts=facts,
        finished_at=NOW - timedelta(hours=hours),
    )


def real(copy, hours: float, minutes: float, **more) -> Recovery:
    end = NOW - timedelta(hours=hours)
    given = {
        "state": Recovery.State.SUCCEEDED,
        "started_at": end - timedelta(minutes=minutes),
        "finished_at": end,
    }
    return Recovery.objects.create(copy=copy, place=Recovery.Place.PRODUCTION, **(given | more))


def test_nothing_was_measured_yet(system, copy):
    assert restore_time.of_system(system) is None
    proof(copy, 1, database={"restore_seconds": 3, "since": "an earlier set"})
    real(copy, 1, 5, state=Recovery.State.FAILED)
    assert restore_time.of_system(system) is None


def test_the_newest_counts_and_says_where_it_comes_from(system, copy, database):
    proof(copy, 5, database={"restore_seconds": 30.5, "compare_seconds": 1.5}, uploads={"restore_seconds": 8})
    found = restore_time.of_system(system)
    assert (found.seconds, found.rehearsed) == (40.0, True)
    real(copy, 2, 4)
    found = restore_time.of_system(system)
    assert (found.seconds, found.rehearsed) == (240.0, False)
    # Of one table alone: that is no measure of the night on which all is gone.
    real(copy, 1, 1).sources.set([database])
    assert restore_time.of_system(system).seconds == 240.0


@pytest.mark.django_db
def test_the_first_page_says_it(as_operator, plan, copy):
    assert "Nobody knows how long a restore takes" in as_operator.get("/admin/").text
    proof(copy, 5, database={"restore_seconds": 200, "compare_seconds": 0})
    page = as_operator.get("/admin/").text
    assert "Restoring takes about 3 min 20 s, as measured by the proof" in page
    real(copy, 1, 0)
    assert "Restoring takes under a second, as measured by the restore" in as_operator.get("/admin/").text
