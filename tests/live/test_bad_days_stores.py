"""Bad days of destinations, as sets meet them: a real S3 server that misbehaves, real disks that refuse."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from backups.models import Copy, Destination, Level, Plan, Set, Source
from drcenter.jobs.context import JobContext
from drcenter.process import Command, run
from tests.backups.destinations import s3_server
from tests.backups.destinations.conftest import faulty, s3_keys, s3_port, short_pauses
from tests.backups.destinations.faulty_s3 import REVOKED, SLOW_DOWN
from tests.backups.taking import (
    assert_secret,
    channel,
    nothing_stored,
    objects_in,
    quick,
    root,
    sets_in,
    taken,
    told,
    verified,
    watched_processes,
)  # fmt: skip

__all__ = ["channel", "faulty", "quick", "s3_keys", "s3_port", "short_pauses"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "key", "channel", "s3_keys", "short_pauses"),
]


@pytest.fixture
def uploads(system, tmp_path) -> Source:
    """Files of 40 MiB that cannot be packed: three parts of a multipart upload."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    for number in range(5):
        (folder / f"photo{number}.jpg").write_bytes(os.urandom(8 << 20))
    options = {"path": str(folder)}
    return Source.objects.create(
        system=system, name="uploads", engine="files", tier="storage", options=options
    )


@pytest.fixture
def plan(system, uploads) -> Plan:
    row = Plan.objects.create(system=system, name="daily", level=Level.INTACT)
    row.sources.set([uploads])
    return row


def failed(plan: Plan, message: str, hint: str, caplog=None) -> Set:
    with watched_processes(s3_server.SECRET_KEY) as seen:
        one = taken(plan)
    assert one.state == Set.State.FAILED, (one.state, one.findings)
    assert message in one.message
    assert hint in one.hint
    assert told()[-1][0] == "failure"
    assert message in told()[-1][1]
    assert not one.copies.exclude(state=Copy.State.FAILED).exists()
    assert seen == []
    assert_secret(s3_server.SECRET_KEY, logs=caplog.text if caplog else "")
    assert_secret(s3_server.ACCESS_KEY, logs=caplog.text if caplog else "")
    return one


def good(plan: Plan) -> Set:
    one = taken(plan)
    assert (one.state, one.level) == (Set.State.COMPLETE, "intact"), (one.message, one.hint)
    return one


class TestS3:
    @pytest.fixture
    def bucket(self, s3_port) -> str:
        return s3_server.new_bucket(s3_port)

    @pytest.fixture
    def store(self, plan, faulty, bucket) -> Destination:
        options = s3_server.options(faulty.port, bucket)
        place = Destination.objects.create(name="offsite", kind="s3", options=options)
        plan.destinations.set([place])
        return place

    def nothing_left(self, port, bucket) -> bool:
        client = s3_server.client(port)
        objects = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return not objects and not client.list_multipart_uploads(Bucket=bucket).get("Uploads")

    def test_down_before_the_dump(self, plan, store, faulty, caplog, s3_port, bucket) -> None:
        faulty.add("drop")
        failed(plan, "cannot be reached", "Check the endpoint", caplog)
        faulty.faults.clear()
        assert self.nothing_left(s3_port, bucket)
        good(plan)

    def test_503_now_and_then_in_the_middle_of_an_upload_costs_nothing(self, plan, store, faulty) -> None:
        faulty.add("status", "PUT", "partNumber=2", status=SLOW_DOWN, times=3)
        faulty.add("lose", "PUT", "partNumber=1", times=1)
        good(plan)
        assert faulty.struck == 4

    def test_503_without_end_in_the_middle_of_an_upload(
        self, plan, store, faulty, caplog, s3_port, bucket
    ) -> None:
        faulty.add("status", "PUT", "partNumber=2", status=SLOW_DOWN)
        failed(plan, "overloaded", "Try again later", caplog)
        faulty.faults.clear()
        assert self.nothing_left(s3_port, bucket)
        good(plan)

    def test_gone_in_the_middle_and_still_gone_when_it_is_cleaned(
        self, plan, store, faulty, s3_port, bucket
    ) -> None:
        """What it had stored cannot be removed: the row says so, and nothing of it counts as a set."""
        faulty.add("drop", "PUT", "partNumber=2")
        faulty.add("drop", "DELETE")
        faulty.add("drop", "GET", "uploads", after=0)
        one = failed(plan, "cannot be reached", "Check the endpoint")
        assert "swept later" in one.message
        faulty.faults.clear()
        assert sets_in(store) == []
        good(plan)
        assert len(sets_in(store)) == 1

    def test_slow(self, plan, store, faulty) -> None:
        faulty.add("slow", "PUT", "partNumber", seconds=0.3)
        good(plan)

    def test_credentials_that_are_revoked_before(self, plan, store, faulty, caplog) -> None:
        faulty.add("status", status=REVOKED)
        one = failed(plan, "does not accept the credentials", "not revoked", caplog)
        assert one.job.permanent
        faulty.faults.clear()
        good(plan)

    def test_credentials_that_are_revoked_in_the_middle(
        self, plan, store, faulty, s3_port, bucket, caplog
    ) -> None:
        faulty.add("status", "PUT", "partNumber=2", status=REVOKED)
        failed(plan, "does not accept the credentials", "not revoked", caplog)
        faulty.faults.clear()
        assert self.nothing_left(s3_port, bucket)
        good(plan)

    def test_one_bit_at_the_store(self, plan, store, s3_port, bucket, key) -> None:
        copy = good(plan).copies.get()
        name = next(name for name in objects_in(store) if "/parts/" in name)
        client = s3_server.client(s3_port)
        content = bytearray(client.get_object(Bucket=bucket, Key=f"drc/{name}")["Body"].read())
        content[len(content) // 3] ^= 4
        client.put_object(Bucket=bucket, Key=f"drc/{name}", Body=bytes(content))
        done = verified(copy, "intact", key.identity)
        assert done.state == "damaged"
        assert "parts/01-uploads" in done.message
        assert told()[-1][0] == "failure"
        assert Set.objects.get(pk=copy.set_id).level == ""

    def test_down_as_the_second_destination(self, plan, store, faulty, destination) -> None:
        plan.destinations.add(destination)
        faulty.add("status", "PUT", status=SLOW_DOWN)
        one = taken(plan)
        assert (one.state, one.level) == (Set.State.COMPLETE, "intact")
        assert one.copies.get(destination=store).state == Copy.State.FAILED
        assert told()[-1][0] == "warning"
        faulty.faults.clear()
        assert sets_in(store) == []


class TestDisk:
    @pytest.fixture
    def disk(self, plan):
        """A file system of 24 MiB, mounted for real where that is possible (as root); elsewhere these tests say nothing."""
        place = Path(tempfile.mkdtemp(prefix="drc-disk-"))
        mounted = (
            run(Command(("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place))), check=False).code
            == 0
        )
        row = Destination.objects.create(name="disk", kind="local", options={"path": str(place)})
        row.build().prepare()
        plan.destinations.set([row])
        yield row, mounted
        if mounted:
            run(Command(("umount", str(place))))
        shutil.rmtree(place)

    def test_full_before(self, plan, disk) -> None:
        row, mounted = disk
        if mounted:
            run(Command(("mount", "-o", "remount,size=16m", str(root(row)))))
            failed(plan, "bytes free, the set needs about", "Free some space")

    def test_full_in_the_middle(self, plan, disk, monkeypatch) -> None:
        row, mounted = disk
        if not mounted:
            return
        with monkeypatch.context() as patch:
            patch.setattr("backups.takes.preflight.PACKED", 0.01)
            failed(plan, "No space left on device", "The disk is full")
        assert nothing_stored(row)
        run(Command(("mount", "-o", "remount,size=200m", str(root(row)))))
        good(plan)

    def test_read_only(self, plan, disk) -> None:
        row, mounted = disk
        if not mounted:
            return
        run(Command(("mount", "-o", "remount,size=200m,ro", str(root(row)))))
        failed(plan, "Read-only file system", "mounted read-only")
        run(Command(("mount", "-o", "remount,rw", str(root(row)))))
        assert nothing_stored(row)
        good(plan)

    def test_it_vanishes_in_the_middle(self, plan, destination, monkeypatch) -> None:
        """A disk that is unmounted: what stands there then is an empty directory."""
        plan.destinations.set([destination])
        place = root(destination)
        away = place.with_name("unmounted")
        original = JobContext.advance

        def advance(self, count):
            original(self, count)
            if place.exists() and not away.exists() and self.counted[0] > 8 << 20:
                place.rename(away)
                place.mkdir()

        with monkeypatch.context() as patch:
            patch.setattr(JobContext, "advance", advance)
            one = failed(plan, "uploads", "")
        assert "is not there, or is not the directory that was prepared" in one.message
        assert list(place.iterdir()) == []
        place.rmdir()
        away.rename(place)
        assert sets_in(destination) == []
        good(plan)
