"""Which archived logs go, and that everything stays where a kept set may need it."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from backups.logs import keep, records
from backups.models import Copy, Destination, LogIncarnation, LogPlace, LogSegment, LogStream, Retention
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from tests.backups.logs.streams import make_stream
from tests.backups.logs.test_chain import archive
from tests.backups.planning import make_set

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stream(tmp_path: Path) -> LogStream:
    """Two logs, five segments, all of them old, at one destination."""
    stream = make_stream(tmp_path)
    stream.plan.retention = Retention.objects.create(name="some")
    stream.plan.save()
    place = Destination.objects.get()
    place.options = {"path": str(tmp_path / "store")}
    place.save()
    place.build().prepare()
    incarnation = LogIncarnation.objects.create(stream=stream, name="1-a")
    for one in archive():
        key = records.segment_key("shop", "database", one, encrypted=False)
        LogSegment.objects.create(
            stream=stream, incarnation=incarnation, number=one.number, last=one.last, log=one.log, begin=one.begin,
            end=one.end, previous=one.previous, digest=one.digest, key=key, stored_size=1,
            created_at=timezone.now() - timedelta(days=9),
        )  # fmt: skip
        for name in (key, records.record_key(key)):
            path = Path(place.options["path"]) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    LogPlace.objects.create(stream=stream, destination=place, through=5)
    return stream


def base(stream: LogStream, log: str, offset: int, **fields) -> None:
    moments = {"database": {"position": {"file": log, "position": offset}}}
    make_set(stream.plan, moments=moments, **fields)


def leaving(stream: LogStream) -> list[int]:
    return [one.number for one in keep.removable(stream)]


def test_what_comes_before_the_log_of_the_oldest_base_goes(stream) -> None:
    base(stream, "binlog.000002", 60)
    assert leaving(stream) == [1, 2, 3], "the log of the base stays from its beginning"


@pytest.mark.parametrize(
    "places", [[], [("binlog.000001", 120), ("binlog.000002", 60)], [("binlog.000009", 4)]]
)
def test_what_a_kept_set_may_need_stays(stream, places) -> None:
    for log, offset in places:
        base(stream, log, offset)
    assert leaving(stream) == []


def test_a_place_that_nobody_understands_keeps_everything(stream) -> None:
    base(stream, "binlog.000002", 60)
    make_set(stream.plan, moments={"other": {"position": {"somewhere": "else"}}})
    assert leaving(stream) == []


def test_nothing_goes_where_everything_is_kept_or_what_is_young(stream) -> None:
    base(stream, "binlog.000002", 60)
    LogSegment.objects.filter(number__gte=2).update(created_at=timezone.now())
    assert leaving(stream) == [1]
    stream.plan.retention = None
    stream.plan.save()
    assert leaving(stream) == []


def test_a_set_whose_copies_are_gone_holds_nothing(stream) -> None:
    base(stream, "binlog.000001", 120)
    base(stream, "binlog.000002", 60)
    Copy.objects.filter(set__moments__database__position__position=120).update(state=Copy.State.REMOVED)
    assert leaving(stream) == [1, 2, 3]


def test_they_go_from_storage_and_then_from_the_catalogue(stream) -> None:
    base(stream, "binlog.000002", 60)
    keep.ask_due()
    keep.ask_due()
    job = Job.objects.get(kind=keep.KIND)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.message
    left = [path.name for path in Path(Destination.objects.get().options["path"]).rglob("*.zst")]
    assert sorted(name[:12] for name in left) == ["000000000004", "000000000005"]
    assert [one.number for one in stream.segments.all()] == [4, 5]
    assert stream.places.get().since == 4


def test_what_does_not_go_stays_in_the_catalogue(stream, monkeypatch) -> None:
    base(stream, "binlog.000002", 60)
    marker = next(Path(Destination.objects.get().options["path"]).glob(".drcenter*"))
    marker.unlink()
    keep.ask_due()
    job = Job.objects.get(kind=keep.KIND)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert stream.segments.count() == 5
