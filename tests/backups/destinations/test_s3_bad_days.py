"""The S3 destination on bad days: a store that is down, slow, overloaded, forgetful, or says no."""

import hashlib
import io

import pytest

from backups.destinations import _retry
from backups.destinations import s3 as s3_module
from backups.destinations._retry import Retrying
from backups.destinations.base import Stored
from backups.destinations.s3 import S3Options
from drcenter.errors import OperationFailed
from tests.backups.destinations import s3_server
from tests.backups.destinations.faulty_s3 import REVOKED
from tests.backups.destinations.s3_fixtures import MIB, bucket, failure, really, s3
from tests.backups.destinations.streams import Broken, Generated

__all__ = ["bucket", "really", "s3"]


@pytest.mark.parametrize("kind", ["status", "drop", "lose"])
def test_trouble_in_the_middle_of_an_upload_is_overcome(s3, faulty, really, kind):
    faulty.add(kind, "PUT", "partNumber=2", times=3)
    faulty.add(kind, "PUT", "partNumber=3", times=1)
    stream = Generated(33 * MIB)
    assert s3.put("a", stream).size == 33 * MIB
    assert faulty.struck == 4
    with s3.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()
    assert really() == (["drc/a"], [])


@pytest.mark.parametrize("kind", ["status", "drop", "lose"])
@pytest.mark.parametrize(
    ("method", "query", "size"),
    [
        ("POST", "uploads", 20 * MIB),
        ("POST", "uploadId", 20 * MIB),
        ("PUT", "", 1000),
        ("HEAD", "", 20 * MIB),
    ],
)
def test_trouble_at_the_edges_of_an_upload_is_overcome(s3, faulty, really, kind, method, query, size):
    """Also an answer that got lost after the store had done what was asked."""
    faulty.add(kind, method, query, times=2)
    assert s3.put("a", Generated(size)).size == size
    assert faulty.struck == 2
    names, uploads = really()
    assert names == ["drc/a"]
    s3.abort("")
    assert really() == (["drc/a"], []), uploads


@pytest.mark.parametrize("kind", ["status", "drop"])
@pytest.mark.parametrize(
    "query", ["partNumber=1", "partNumber=2", "partNumber=3", "uploads", "x-id=Complete"]
)
def test_trouble_that_stays_leaves_nothing(s3, faulty, really, kind, query):
    query = "uploadId" if query == "x-id=Complete" else query
    faulty.add(kind, "POST" if query.startswith("upload") else "PUT", query)
    error = failure(lambda: s3.put("a", Generated(33 * MIB)))
    assert not error.permanent
    assert faulty.struck == len(_retry.PAUSES) + 1
    assert really() == ([], [])


def test_an_answer_that_never_comes_is_a_success_if_the_object_is_there(s3, faulty, really):
    faulty.add("lose", "POST", "uploadId", times=1)
    faulty.add("drop", "POST", "uploadId")
    assert s3.put("a", Generated(20 * MIB)).size == 20 * MIB
    faulty.faults.clear()
    faulty.add("lose", "PUT")
    assert s3.put("b", io.BytesIO(b"small")).size == 5
    faulty.faults.clear()
    assert really() == (["drc/a", "drc/b"], [])


def test_revoked_in_the_middle_of_an_upload(s3, faulty, really):
    """Nothing is repeated, and what the store no longer lets us clean up is cleaned up later."""
    fault = faulty.add("status", status=REVOKED, after=2)
    error = failure(lambda: s3.put("shop/a", Generated(60 * MIB)))
    assert error.permanent and "does not accept the credentials" in error.message
    assert faulty.struck <= 6
    names, uploads = really()
    assert names == [] and len(uploads) == 1
    fault.times = 0
    s3.abort()
    assert really() == ([], [])


def test_what_a_killed_worker_left_is_swept_and_others_go_on(s3, really, s3_port, bucket):
    client = s3_server.client(s3_port)
    for name in ("drc/shop/dead/parts/1", "drc/shop/alive/parts/1", "other/shop/dead/1"):
        client.create_multipart_upload(Bucket=bucket, Key=name)
    s3.abort()
    assert len(really()[1]) == 3
    s3.abort("shop/dead/")
    assert sorted(one["Key"] for one in really()[1]) == ["drc/shop/alive/parts/1", "other/shop/dead/1"]


def test_a_stream_that_dies_while_the_store_is_in_trouble(s3, faulty, really):
    """The part on its way is not repeated any more, and the stream's own error is what is told."""
    faulty.add("status", "PUT", "partNumber=2")
    with pytest.raises(RuntimeError, match="dump died"):
        s3.put("a", Broken(33 * MIB, RuntimeError("dump died")))
    assert really() == ([], [])


def test_a_slow_store_is_waited_for_and_a_silent_one_is_not(s3, faulty, really, monkeypatch):
    monkeypatch.setattr(s3_module, "READ_SECONDS", 1)
    faulty.add("slow", "PUT", seconds=0.4, times=3)
    assert s3.put("a", Generated(33 * MIB)).size == 33 * MIB
    faulty.faults.clear()
    faulty.add("slow", "HEAD", seconds=1.5)
    monkeypatch.setattr(_retry, "PAUSES", (0.01,))
    error = failure(lambda: s3.head("a"))
    assert "does not answer in time" in error.message and not error.permanent


@pytest.mark.parametrize("after", [0, 1])
def test_a_broken_download_goes_on_where_it_broke(s3, faulty, after):
    stream = Generated(9 * MIB)
    s3.put("a", stream)
    faulty.add("cut", "GET", after=after, times=4)
    with s3.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()
    with s3.open("a", 3, 5 * MIB) as back:
        assert len(back.read()) == 5 * MIB
    assert faulty.struck >= 4


def test_a_download_that_breaks_again_and_again_ends(s3, faulty, monkeypatch):
    s3.put("a", Generated(3 * MIB))
    stream = s3.open("a")
    faulty.add("drop", "GET")
    stream.raw._close_body()
    error = failure(stream.read)
    assert "cannot be reached" in error.message
    stream.close()


def test_an_object_that_is_replaced_while_it_is_read(s3, faulty):
    s3.put("a", Generated(9 * MIB))
    faulty.add("cut", "GET", times=1)
    with s3.open("a") as back:
        s3.put("a", io.BytesIO(b"another"))
        error = failure(back.read)
    assert "replaced" in error.message and error.permanent


def test_open_list_head_and_delete_are_repeated(s3, faulty):
    s3.put("a", io.BytesIO(b"x"))
    for act in (
        lambda: s3.open("a").close(),
        lambda: s3.head("a"),
        lambda: list(s3.list("")),
        lambda: list(s3.list_versions("")),
        lambda: s3.delete("a"),
    ):
        faulty.faults.clear()
        faulty.add("status", times=2)
        act()
    assert faulty.struck == 10


def test_a_listing_goes_on_where_it_stood():
    """Entries that were given are not given again, also of several versions of one key."""
    entries = [Stored("a", 1, version="2"), Stored("a", 1, version="1"), Stored("b", 1), Stored("c", 1)]
    breaks = iter([1, 2, 3, 4, None])

    class Breaking:
        label, Options, options = "x", S3Options, {}

        def list(self, prefix):
            stop = next(breaks)
            yield from entries[:stop]
            if stop is not None:
                raise OperationFailed("broken", "again")

    assert list(Retrying(Breaking()).list("")) == entries
