"""The page with the time line: what it shows, refuses and starts."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from backups.logs.chain import Mark, Position
from backups.logs.records import written_marks
from backups.models import Copy, LogIncarnation, LogPlace, LogSegment, LogStream, Plan, Recovery, Set, Source
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job


@pytest.fixture
def archived(system, destination) -> Source:
    """A database with a set of an hour ago, and a log up to half an hour ago; then nothing for ten minutes."""
    options = {"host": "db1", "port": 3306, "user": "app", "database": "shop"}
    source = Source.objects.create(
        system=system, name="db", engine="mariadb", tier="database", options=options
    )
    plan = Plan.objects.create(system=system, name="daily")
    begin = timezone.now() - timedelta(hours=1)
    moment = {"from": begin.isoformat(), "to": begin.isoformat(), "taken": begin.isoformat(), "snapshot": True,
              "position": {"file": "binlog.000001", "position": 100}}  # fmt: skip
    one = Set.objects.create(
        system=system, plan=plan, identifier="20261120T020000Z-1-abcd", state=Set.State.COMPLETE, moment=begin,
        started_at=begin, moments={"db": moment}, encrypted=False,
    )  # fmt: skip
    Copy.objects.create(set=one, destination=destination, state=Copy.State.COMPLETE, level="proven")
    stream = LogStream.objects.create(source=source, plan=plan)
    LogPlace.objects.create(stream=stream, destination=destination, through=3)
    life = LogIncarnation.objects.create(stream=stream, name="1-a")
    for number, missing in ((1, False), (2, True), (3, False)):
        if missing:
            continue
        marks = [
            Mark(
                at := begin + timedelta(minutes=10 * number + minute),
                Position("binlog.000001", number * 1000 + minute),
                at,
            )
            for minute in range(10)
        ]
        LogSegment.objects.create(
            stream=stream, incarnation=life, number=number, last=number, log="binlog.000001", begin=(number - 1) * 1009,
            end=number * 1009, marks=written_marks(marks), key=f"shop/logs/db/1-a/{number}.zst", digest=f"{number}" * 8,
            previous="1" * 8 if number == 2 else "", stored_size=10,
        )  # fmt: skip
    return source


def page(of: Source, /, **query: str) -> str:
    from urllib.parse import urlencode

    return f"{reverse('admin:systems_system_point_in_time', args=[of.system_id])}?{urlencode(query)}"


def told(minutes: float) -> str:
    return (timezone.now() - timedelta(minutes=minutes)).isoformat(" ", "seconds")


def test_the_line_and_the_plan_of_a_moment(as_operator, archived) -> None:
    answer = as_operator.get(page(archived))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert text.count('class="drc-tl-reach"') == 1
    assert text.count('class="drc-tl-slice"') == 48
    assert "Bring it back" not in text
    planned = as_operator.get(page(archived, at=told(45))).content.decode()
    assert "Restore the set shop/20261120T020000Z-1-abcd" in planned
    assert "nothing of after" in planned
    assert "Bring it back into a scratch server" in planned
    assert "drc-tl-chosen" in planned
    assert not Recovery.objects.exists()


def test_what_cannot_be_reached_is_told_with_what_can(as_operator, archived) -> None:
    for minutes, said in (
        (5, "is missing, from"),
        (120, "lies before the first set"),
        (-60, "lies in the future"),
    ):
        text = as_operator.get(page(archived, at=told(minutes))).content.decode()
        assert said in text
        assert "Bring it back" not in text
    assert "is no time" in as_operator.get(page(archived, at="<script>alert(1)</script>")).content.decode()
    assert (
        "<script>alert"
        not in as_operator.get(page(archived, at="<script>alert(1)</script>")).content.decode()
    )
    assert "written like" in as_operator.get(page(archived, position="nonsense")).content.decode()
    assert as_operator.get(page(archived, end="nonsense", span="nonsense", source="x")).status_code == 200


def test_a_post_starts_it_and_a_get_never_does(as_operator, archived) -> None:
    answer = as_operator.post(page(archived, at=told(45)), {"keep_minutes": "15"})
    row = Recovery.objects.get()
    assert answer.url == reverse("admin:backups_recovery_change", args=[row.pk])
    assert (row.place, row.point["keep_minutes"], row.job.state) == (Recovery.Place.SCRATCH, 15, "queued")
    # A backup of the system may run meanwhile.
    assert not row.job.target.startswith("system:")
    shown = as_operator.get(answer.url).content.decode()
    assert row.point["words"].replace("+", "&#x2B;") in shown or row.point["words"] in shown
    before = Recovery.objects.count()
    as_operator.post(page(archived, at=told(5)), {"keep_minutes": "15"})
    assert Recovery.objects.count() == before


def test_whoever_may_not_restore_gets_nothing(as_viewer, archived) -> None:
    assert as_viewer.get(page(archived)).status_code == 403
    assert as_viewer.post(page(archived, at=told(45)), {"keep_minutes": "15"}).status_code == 403
    assert Entry.objects.filter(action="backups.rewind", result=Result.REFUSED).count() == 1
    assert not Job.objects.exists()
    system = reverse("admin:systems_system_change", args=[archived.system_id])
    assert "point-in-time" not in as_viewer.get(system).content.decode()


def test_a_look_is_ended_by_a_post_of_somebody_who_may(as_operator, archived) -> None:
    as_operator.post(page(archived, at=told(45)), {"keep_minutes": "15"})
    row = Recovery.objects.get()
    row.state, row.point["until"], row.point["access"] = (
        "running",
        timezone.now().isoformat(),
        "mariadb --defaults-file=x",
    )
    row.save()
    shown = as_operator.get(reverse("admin:backups_recovery_change", args=[row.pk])).content.decode()
    assert "mariadb --defaults-file=x" in shown
    end = reverse("admin:backups_recovery_end_look", args=[row.pk])
    assert as_operator.get(end).status_code == 405
    as_operator.post(end)
    row.refresh_from_db()
    assert row.point["wish"] == "end"
