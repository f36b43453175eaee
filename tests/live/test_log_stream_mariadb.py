"""The archive of a real server's binary log: through kills, restarts, resets, purges and damage."""

import threading

import pytest

from backups import rebuild
from backups.destinations.local import MARKER
from backups.logs import chain, growth, read, records
from backups.logs.archive import directory_of
from backups.logs.chain import Position, Why
from backups.logs.serve import serve
from backups.models import Destination, LogStream
from backups.storage.trust import trusted
from drcenter.errors import OperationFailed
from drcenter.jobs.work import run_job
from drcenter.notify.models import Delivery
from drcenter.secrets import Secret
from tests.backups.taking import channel
from tests.live.archiving import Archive, archive, mortal, wait_for

__all__ = ["archive", "channel", "mortal"]
pytestmark = pytest.mark.django_db(transaction=True)


def told() -> list[str]:
    """The newest message first: title and text."""
    return [f"{one.title} {one.body}" for one in Delivery.objects.order_by("-pk")]


def fill(archive: Archive, first: int, count: int = 20) -> None:
    archive.mortal.execute(
        *(
            f"INSERT INTO shop.orders VALUES ({number}, REPEAT('x', 100))"
            for number in range(first, first + count)
        )
    )


def test_what_is_archived_is_what_the_server_has(archive: Archive) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    archive.mortal.execute("FLUSH BINARY LOGS")
    fill(archive, 100)
    archive.catch_up()
    found = archive.fetched(Position("binlog.000001", 4))
    assert list(found) == ["binlog.000001", "binlog.000002"]
    assert found["binlog.000001"] == archive.mortal.log("binlog.000001")
    # While it is being written, the server has a flag set in it that is never sent.
    written = bytearray(archive.mortal.log("binlog.000002"))
    written[21] &= 0xFE
    assert found["binlog.000002"] == bytes(written)
    assert chain.gaps(read.segments(archive.stream)) == []
    assert archive.stop() == 0
    archive.stream.refresh_from_db()
    assert (archive.stream.worker, archive.stream.state) == ("", "running")
    assert archive.stream.stored_until is not None


def expected(archive: Archive, name: str) -> bytes:
    """The server's file, without the flag that it sets while it writes."""
    content = bytearray(archive.mortal.log(name))
    content[21] &= 0xFE
    return bytes(content)


def test_an_archiver_that_is_killed_again_and_again_under_load(archive: Archive) -> None:
    number = 0
    for _life in range(3):
        archive.start()
        newest = archive.newest()
        wait_for(
            lambda newest=newest: archive.newest() != newest or fill_one(archive),
            20,
            "something to be archived",
        )
        for _burst in range(10):
            fill(archive, number, 5)
            number += 5
        archive.kill()
    archive.start()
    fill(archive, number)
    archive.catch_up()
    assert chain.gaps(read.segments(archive.stream)) == []
    assert archive.fetched(Position("binlog.000001", 4)) == {
        "binlog.000001": expected(archive, "binlog.000001")
    }
    assert archive.stream.incarnations.count() == 1


def fill_one(archive: Archive) -> None:
    archive.mortal.execute(
        "INSERT INTO shop.orders SELECT COALESCE(MAX(id), 0) + 100000, 'more' FROM shop.orders"
    )


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_server_that_starts_again(archive: Archive, how: str) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    getattr(archive.mortal, how)()
    wait_for(lambda: archive.said().startswith("broken"), 15, "the loss of the connection")
    archive.mortal.start()
    fill(archive, 100)
    archive.catch_up(40)
    assert chain.gaps(read.segments(archive.stream)) == []
    found = archive.fetched(Position("binlog.000001", 4))
    assert found == {name: expected(archive, name) for name in ("binlog.000001", "binlog.000002")}


def test_a_log_that_was_reset_begins_anew(archive: Archive, channel) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    before = archive.position()
    archive.mortal.execute("RESET MASTER")
    fill(archive, 100)
    archive.catch_up(30)
    (gap,) = chain.gaps(read.segments(archive.stream))
    assert gap.why is Why.INCARNATION
    assert gap.after is not None
    assert gap.after.ends_at == before
    anew = archive.stream.incarnations.last()
    assert anew is not None
    assert "reset" in anew.reason
    archive.stream.refresh_from_db()
    assert archive.stream.base_wanted_at is not None
    assert "a gap in the archived log" in told()[0]
    reach = chain.reach(read.segments(archive.stream), Position("binlog.000001", 4), anew.name)
    (path,) = read.fetch(archive.stream, reach.segments, archive.folder, [archive.identity])
    assert path.read_bytes() == expected(archive, "binlog.000001")


def test_a_reset_that_grows_beyond_what_was_stored_is_seen_while_nobody_looks(archive: Archive) -> None:
    archive.start()
    fill(archive, 0, 5)
    archive.catch_up()
    assert archive.stop() == 0
    archive.mortal.execute("RESET MASTER")
    fill(archive, 100, 60)
    archive.start()
    archive.catch_up(30)
    assert [gap.why for gap in chain.gaps(read.segments(archive.stream))] == [Why.INCARNATION]
    assert archive.stream.incarnations.count() == 2


def test_purged_before_it_was_archived(archive: Archive, channel) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    assert archive.stop() == 0
    fill(archive, 100)
    forget_the_replica(archive)
    archive.mortal.execute("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    purge(archive, "binlog.000003")
    fill(archive, 200)
    archive.start()
    archive.catch_up(30)
    (gap,) = chain.gaps(read.segments(archive.stream))
    assert gap.before is not None
    assert (gap.before.log, gap.before.begin) == ("binlog.000003", 0)
    assert "purged" in told()[0]


def purge(archive: Archive, to: str) -> None:
    """The server keeps a log file until a thread in the background has noted that nobody needs it."""

    def done() -> bool:
        archive.mortal.execute(f"PURGE BINARY LOGS TO '{to}'")
        return archive.mortal.execute("SHOW BINARY LOGS")[0][0] == to

    wait_for(done, 15, "the server to purge its log")


def forget_the_replica(archive: Archive) -> None:
    """A server that has not noticed that its replica is gone purges nothing that it would send."""
    for (thread,) in archive.mortal.execute(
        "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'"
    ):
        archive.mortal.execute(f"KILL {thread}")
    gone = "SELECT COUNT(*) FROM information_schema.processlist WHERE command = 'Binlog Dump'"
    wait_for(lambda: archive.mortal.execute(gone) == [(0,)], 15, "the server to forget its replica")


def test_purged_after_it_was_archived_is_no_gap(archive: Archive) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    archive.mortal.execute("FLUSH BINARY LOGS")
    fill(archive, 100)
    archive.catch_up()
    archive.kill()
    forget_the_replica(archive)
    purge(archive, "binlog.000002")
    archive.start()
    fill(archive, 200)
    archive.catch_up(30)
    assert chain.gaps(read.segments(archive.stream)) == []
    assert archive.stream.incarnations.count() == 1


def test_a_flipped_bit_in_a_segment(archive: Archive) -> None:
    second = archive.add_destination("second")
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    wait_for(lambda: len(set(archive.stream.places.values_list("through", flat=True))) == 1, 15)
    segments = read.segments(archive.stream)
    flip(archive.folder / "first" / segments[-1].key)
    found = archive.fetched(Position("binlog.000001", 4))
    assert found["binlog.000001"] == expected(archive, "binlog.000001"), "the other destination has it whole"
    flip(archive.folder / "second" / segments[-1].key)
    with pytest.raises(read.SegmentLost):
        archive.fetched(Position("binlog.000001", 4), "again")
    assert second.log_places.get().failures == 0


def test_a_record_that_was_changed_or_moved_is_not_believed(archive: Archive) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    (one, *_rest) = read.segments(archive.stream)
    path = archive.folder / "first" / records.record_key(one.key)
    content, trust = path.read_bytes(), trusted()
    key = records.record_key(one.key)
    assert records.Record.from_bytes(content, trust.signed, key=key).segment == one
    for bad, at in [
        (content.replace(b"binlog", b"binlag"), key),
        (content, key.replace("-0-", "-1-")),
        (b"{}", key),
    ]:
        with pytest.raises(OperationFailed, match="left out"):
            records.Record.from_bytes(bad, trust.signed, key=at)


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_destination_that_was_away_gets_what_it_missed(archive: Archive, monkeypatch) -> None:
    archive.add_destination("second")
    marker = archive.folder / "second" / MARKER
    marker.rename(marker.with_suffix(".away"))
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    away = archive.stream.places.get(destination__name="second")
    wait_for(lambda: archive.stream.places.get(pk=away.pk).failures, 15, "the failure to be noted")
    assert archive.stream.places.get(pk=away.pk).through == 0
    archive.kill()
    marker.with_suffix(".away").rename(marker)
    archive.stream.places.update(retry_at=None)
    archive.start()
    fill(archive, 100)
    archive.catch_up()
    wait_for(
        lambda: len(set(archive.stream.places.values_list("through", flat=True))) == 1, 20, "both to be equal"
    )
    assert stored(archive, "first") == stored(archive, "second")
    spool = directory_of(archive.stream) / "spool"
    wait_for(lambda: not list(spool.iterdir()), 15, "the spool to be empty")


def stored(archive: Archive, place: str) -> set[str]:
    root = archive.folder / place
    return {str(path.relative_to(root)) for path in root.rglob("*.*") if "logs" in path.parts}


def test_two_archivers_do_not_write_one_stream(archive: Archive) -> None:
    archive.start()
    first = archive.process
    fill(archive, 0)
    archive.catch_up()
    archive.start()
    fill(archive, 100)
    archive.catch_up()
    assert chain.gaps(read.segments(archive.stream)) == []
    assert first is not None
    first.terminate()
    assert first.wait(30) == 0
    fill(archive, 200)
    archive.catch_up(30)
    assert chain.gaps(read.segments(archive.stream)) == []
    assert archive.stop() == 0


def test_all_destinations_away_and_no_room_left(archive: Archive, monkeypatch) -> None:
    monkeypatch.setattr(growth, "SPOOL_BYTES", 2000)
    marker = archive.folder / "first" / MARKER
    marker.rename(marker.with_suffix(".away"))
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(stop, archive.stream.pk))
    thread.start()
    try:
        fill(archive, 0)
        wait_for(archive.stream.segments.exists, 15, "a segment to wait")
        fill(archive, 100)
        wait_for(
            lambda: "no destination takes them" in archive.said() or fill_one(archive), 20, archive.said()
        )
        marker.with_suffix(".away").rename(marker)
        archive.stream.places.update(retry_at=None)
        archive.catch_up(40)
    finally:
        stop.set()
        thread.join()
    assert chain.gaps(read.segments(archive.stream)) == []


def test_the_storage_alone_tells_of_it(archive: Archive) -> None:
    archive.start()
    fill(archive, 0)
    archive.catch_up()
    archive.mortal.execute("FLUSH BINARY LOGS")
    fill(archive, 100)
    archive.catch_up()
    assert archive.stop() == 0
    before, stream = read.segments(archive.stream), archive.stream
    stream.refresh_from_db()
    safe = stream.stored_until
    stream.segments.all().delete()
    stream.delete()
    destination = Destination.objects.get()
    (archive.folder / "first" / records.record_key(before[0].key)).with_suffix(".json.bak").write_text("{}")
    dry = rebuild.request(destination, requested_by="anna", dry_run=True)
    run_job(dry.job_id)
    assert not LogStream.objects.exists()
    identity = Secret(str(archive.identity))
    for _again in range(2):
        wanted = rebuild.request(destination, requested_by="anna", identity=identity)
        run_job(wanted.job_id)
    wanted.refresh_from_db()
    assert wanted.state == "done", wanted.message
    found = LogStream.objects.get()
    assert (found.enabled, read.segments(found)) == (False, before)
    assert found.stored_until is not None
    assert safe is not None
    assert found.stored_until <= safe
    archive.stream = found
    assert list(archive.fetched(Position("binlog.000001", 4))) == ["binlog.000001", "binlog.000002"]
    LogStream.objects.update(enabled=True)
    archive.start()
    fill(archive, 200)
    archive.catch_up()
    assert chain.gaps(read.segments(found)) == [], "it goes on where the archive ended"
