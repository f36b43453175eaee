"""The Google destination on bad days, and its locks, against the documented answers."""

import hashlib
import io
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import _retry, build
from backups.destinations.gcs import Plugin
from backups.places.trial import Trial, check
from drcenter.errors import OperationFailed
from tests.backups.destinations.faulty_s3 import FaultyServer
from tests.backups.destinations.gcs_simulator import TOKEN, Bucket
from tests.backups.destinations.s3_server import free_port
from tests.backups.destinations.streams import Broken, Generated

MIB = 1 << 20
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def front(google):
    with FaultyServer(google.port) as server:
        yield server


@pytest.fixture
def gcs(google, front, bucket, tmp_path):
    return build("gcs", google.options(tmp_path, bucket, front.port))


def failure(act):
    with pytest.raises(OperationFailed) as caught:
        act()
    text = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in text and "PRIVATE KEY" not in text
    return caught.value


@pytest.mark.parametrize("kind", ["status", "drop", "lose"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_trouble_in_an_upload_is_overcome(gcs, front, bucket, kind, method):
    """Also an answer that got lost after the store had done what was asked: it is asked how much it has."""
    front.add(kind, method, "uploadType", times=2)
    stream = Generated(40 * MIB)
    assert gcs.put("a", stream).size == 40 * MIB
    assert front.struck == 2
    assert hashlib.sha256(bucket.live["drc/a"]["content"]).digest() == stream.digest.digest()


def test_an_answer_to_the_last_chunk_that_got_lost(gcs, front, bucket):
    front.add("lose", "PUT", "upload_id", after=1, times=1)
    assert gcs.put("a", Generated(20 * MIB)).size == 20 * MIB
    assert list(bucket.live) == ["drc/a"]


def test_trouble_that_stays_leaves_nothing(gcs, front, bucket):
    front.add("drop", "PUT")
    error = failure(lambda: gcs.put("a", Generated(20 * MIB)))
    assert not error.permanent and "cannot be reached" in error.message and error.hint
    assert front.struck == len(_retry.PAUSES) + 1
    assert bucket.live == {} and bucket.uploads == {}


def test_a_stream_that_dies_gives_the_upload_up(gcs, bucket):
    with pytest.raises(RuntimeError):
        gcs.put("a", Broken(20 * MIB, RuntimeError("dump died")))
    assert bucket.live == {} and bucket.uploads == {}


def test_what_came_meanwhile_is_not_overwritten(gcs, bucket):
    def another(_given):
        bucket.store({"name": "drc/a", "condition": None, "content": b"another"})

    assert "replaced" in failure(lambda: gcs.put("a", Generated(3 * MIB, watch=another))).message
    assert bucket.live["drc/a"]["content"] == b"another"


def test_a_damaged_upload_is_removed(gcs, bucket, monkeypatch):
    store = bucket.store

    def damaged(upload):
        upload["content"][0] ^= 1
        return store(upload)

    monkeypatch.setattr(bucket, "store", damaged)
    assert "not as it was sent" in failure(lambda: gcs.put("a", Generated(MIB))).message
    assert bucket.live == {}


def test_an_object_that_is_replaced_while_it_is_read(gcs):
    gcs.put("a", Generated(20 * MIB))
    with gcs.open("a") as back:
        back.read(10)
        gcs.put("a", io.BytesIO(b"another"))
        assert "is not there" in failure(back.read).message


def test_a_broken_download_is_taken_up_again(gcs, front):
    stream = Generated(20 * MIB)
    gcs.put("a", stream)
    front.add("cut", "GET", "alt=media", times=3)
    with gcs.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()
    assert front.struck == 3


def test_old_generations_are_listed_newest_first_and_can_be_removed(google, tmp_path):
    store = Plugin(google.options(tmp_path, Bucket(versions=True)))
    versions = [store.put("a", io.BytesIO(content)).version for content in (b"1", b"2", b"3")]
    store.delete("a")
    assert list(store.list("")) == []
    assert [one.version for one in store.list_versions("")] == versions[::-1]
    for version in versions:
        store.delete_version("a", version)
    assert list(store.list_versions("")) == []


class TestWhatAnOperatorIsTold:
    def test_bucket_missing(self, google, tmp_path):
        options = google.options(tmp_path) | {"bucket": "nowhere"}
        assert "the bucket does not exist" in failure(lambda: check(Plugin(options))).message

    def test_nobody_listens(self, google, tmp_path):
        options = google.options(tmp_path, port=free_port())
        error = failure(lambda: check(Plugin(options)))
        assert "cannot be reached" in error.message and not error.permanent

    def test_no_key(self, google, tmp_path):
        options = google.options(tmp_path)
        (tmp_path / "account.json").write_text("{}")
        error = failure(lambda: check(Plugin(options)))
        assert "credentials cannot be used" in error.message and "JSON key" in error.hint

    def test_forbidden(self, gcs, front):
        front.add("status", "POST", "uploadType", status=(403, ""))
        assert "refuses access" in failure(lambda: gcs.put("a", io.BytesIO(b"x"))).message


class TestLocks:
    def test_a_lock_is_set_read_back_and_refuses_the_delete(self, google, tmp_path):
        store = Plugin(google.options(tmp_path, Bucket(versions=True)))
        steps = [*Trial(store, store, locks=True).steps()]
        assert [step for step in steps if not step.ok] == []
        stored = store.put("a", io.BytesIO(b"x"))
        locked = store.lock("a", UNTIL)
        assert (locked.locked_until, locked.lock_mode) == (UNTIL, "Locked")
        assert store.lock("a", UNTIL - timedelta(days=1)).locked_until == UNTIL
        assert "locked" in failure(lambda: store.delete_version("a", stored.version)).message
        store.delete("a")
        (hidden,) = store.list_versions("a")
        assert hidden.version == stored.version and hidden.locked_until == UNTIL

    @pytest.mark.parametrize(
        ("bucket", "text"),
        [(Bucket(retention=False), "cannot be locked"), (Bucket(forgets=True), "is not locked, although")],
    )
    def test_a_store_that_cannot_or_forgets(self, gcs, text):
        gcs.put("a", io.BytesIO(b"x"))
        assert text in failure(lambda: gcs.lock("a", UNTIL)).message
