"""The S3 destination on bad days: a store that is down, slow, overloaded, forgetful, or says no."""

import base64
import hashlib
import io
import json
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import _retry, build
from backups.destinations import s3 as s3_module
from backups.destinations._retry import Retrying
from backups.destinations._s3_upload import MOST_PARTS, SMALLEST_PART, first_part_size, part_size
from backups.destinations.base import NotThere, Stored
from backups.destinations.s3 import Plugin, S3Options
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import Command, run
from tests.backups.destinations import s3_server
from tests.backups.destinations.faulty_s3 import DENIED, REVOKED
from tests.backups.destinations.streams import Broken, Generated

MIB = 1 << 20
SECRETS = (s3_server.ACCESS_KEY, s3_server.SECRET_KEY)


@pytest.fixture
def bucket(s3_port):
    return s3_server.new_bucket(s3_port)


@pytest.fixture
def s3(faulty, bucket, s3_keys):
    """The destination, behind the server that misbehaves."""
    return build("s3", s3_server.options(faulty.port, bucket))


@pytest.fixture
def really(s3_port, bucket):
    """What is in the bucket, seen past the misbehaving server: (names, unfinished uploads)."""
    client = s3_server.client(s3_port)

    def look():
        names = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return names, client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    return look


def failure(act):
    """The OperationFailed of `act`, which shows no secret, not even in its traceback."""
    with pytest.raises(OperationFailed) as caught:
        act()
    text = "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in SECRETS), text
    assert caught.value.hint
    return caught.value


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


class TestCheck:
    """What the connection check tells an operator."""

    def error(self, options, **changes):
        return failure(Plugin(validated(S3Options, options | changes)).check)

    def test_endpoint_down(self, s3_keys, bucket):
        start = time.monotonic()
        error = self.error(s3_server.options(s3_server.free_port(), bucket))
        assert "cannot be reached" in error.message and not error.permanent
        assert time.monotonic() - start < 5

    def test_no_such_host(self, s3_keys, s3_port, bucket):
        options = s3_server.options(s3_port, bucket, endpoint_url="http://store.invalid:9000")
        assert "cannot be reached" in self.error(options).message

    def test_bucket_missing(self, s3_keys, s3_port):
        error = self.error(s3_server.options(s3_port, "no-such-bucket"))
        assert "the bucket does not exist" in error.message and error.permanent

    @pytest.mark.parametrize(
        ("status", "text"), [(DENIED, "refuses access"), (REVOKED, "does not accept the credentials")]
    )
    def test_credentials(self, s3_keys, faulty, bucket, status, text):
        faulty.add("status", status=status)
        error = self.error(s3_server.options(faulty.port, bucket))
        assert text in error.message and error.permanent and faulty.struck == 1

    def test_may_write_but_not_delete(self, s3_keys, faulty, bucket):
        faulty.add("status", "DELETE", status=DENIED)
        assert "does not delete" in self.error(s3_server.options(faulty.port, bucket)).message

    def test_may_list_but_not_write(self, s3_keys, faulty, bucket):
        faulty.add("status", "PUT", status=DENIED)
        assert "refuses access" in self.error(s3_server.options(faulty.port, bucket)).message

    def test_overloaded(self, s3_keys, faulty, bucket):
        faulty.add("status")
        assert "overloaded" in self.error(s3_server.options(faulty.port, bucket)).message

    def test_a_variable_that_is_not_set(self, monkeypatch, s3_port, bucket):
        monkeypatch.delenv("TEST_S3_ACCESS_KEY", raising=False)
        error = self.error(s3_server.options(s3_port, bucket))
        assert "TEST_S3_ACCESS_KEY is not set" in error.message

    def test_clock(self, s3_keys, faulty, bucket):
        faulty.add("status", status=(403, "RequestTimeTooSkewed"))
        assert "clock" in self.error(s3_server.options(faulty.port, bucket)).message


def test_with_keys_no_metadata_service_is_asked(monkeypatch, s3_keys, s3_port, bucket, faulty):
    """An endpoint of the metadata service that answers would be seen in its list of requests."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{faulty.port}/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{faulty.port}/")
    Plugin(s3_server.options(s3_port, bucket)).check()
    assert faulty.requests == []


def test_every_part_is_sent_with_its_checksum(s3, s3_port, bucket):
    stored = s3.put("a", Generated(20 * MIB))
    assert stored.checksum.startswith("sha256-parts:") and stored.checksum.endswith("-2")
    content = b"small"
    digest = hashlib.sha256(content).digest()
    assert s3.put("b", io.BytesIO(content)).checksum == f"sha256:{digest.hex()}"
    head = s3_server.client(s3_port).head_object(Bucket=bucket, Key="drc/b", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == base64.b64encode(digest).decode()


def test_storage_class_and_prefix(faulty, bucket, s3_keys, s3_port):
    destination = Plugin(s3_server.options(faulty.port, bucket, storage_class="STANDARD_IA", prefix="/x/y/"))
    destination.put("small", io.BytesIO(b"x"))
    destination.put("large", Generated(17 * MIB))
    contents = s3_server.client(s3_port).list_objects_v2(Bucket=bucket)["Contents"]
    assert [(one["Key"], one["StorageClass"]) for one in contents] == [
        ("x/y/large", "STANDARD_IA"),
        ("x/y/small", "STANDARD_IA"),
    ]


class TestLock:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)

    def test_a_lock_is_looked_at(self, s3_port, s3_keys):
        destination = build("s3", s3_server.options(s3_port, s3_server.new_bucket(s3_port, locks=True)))
        destination.put("a", Generated(17 * MIB))
        assert destination.lock("a", self.until).locked_until == self.until
        destination.delete("a")
        with pytest.raises(NotThere):
            destination.head("a")
        hidden = list(destination.list_versions(""))
        assert [one.key for one in hidden] == ["a"] and hidden[0].version

    def test_a_bucket_that_cannot(self, s3):
        s3.put("a", io.BytesIO(b"x"))
        with pytest.raises(OperationFailed, match="cannot be locked") as caught:
            s3.lock("a", self.until)
        assert caught.value.permanent

    def test_a_store_that_takes_the_order_and_forgets_it(self, s3, faulty):
        s3.put("a", io.BytesIO(b"x"))
        faulty.add("status", "PUT", "retention", status=(200, ""))
        assert "is not locked, although" in failure(lambda: s3.lock("a", self.until)).message

    def test_what_is_not_there(self, s3):
        with pytest.raises(NotThere):
            s3.lock("a", self.until)


class TestPartSizes:
    def test_estimates(self):
        assert first_part_size(None) == first_part_size(0) == first_part_size(100 * 1024**3) == SMALLEST_PART
        assert first_part_size(200 * 1024**3) == 26 * MIB
        assert first_part_size(5 * 1024**4) % MIB == 0

    @pytest.mark.parametrize("expected", [None, 10**9, 10**12, 4 * 10**12])
    def test_twice_the_estimate_fits(self, expected):
        first = first_part_size(expected)
        total = sum(part_size(number, first) for number in range(1, MOST_PARTS + 1))
        assert total >= 2 * max(expected or 0, 100 * 1024**3)

    def test_parts_grow_only_at_the_end(self):
        sizes = [part_size(number, SMALLEST_PART) // MIB for number in (1, 8000, 8001, 9001, 9501, 10_000)]
        assert sizes == [16, 16, 32, 64, 128, 128]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"endpoint_url": "ftp://host"}, "http"),
        ({"endpoint_url": "https://user:password@host"}, "Credentials"),
        ({"endpoint_url": "minio:9000"}, "http"),
        ({"bucket": "a/b"}, "bucket"),
        ({"prefix": "../x"}, "prefix"),
        ({"secret_key": ""}, "both keys"),
        ({"secret_key": "the value itself"}, "env:NAME"),
        ({"part_size": 5}, "16"),
        ({"storage_class": "COLD"}, "storage_class"),
    ],
)
def test_options_that_cannot_work_are_refused(changes, text):
    with pytest.raises(OperationFailed, match=text):
        validated(S3Options, s3_server.options(1, "bucket") | changes)


def test_options_that_work():
    clean = validated(
        S3Options, s3_server.options(9000, "bucket", prefix="/a/b/", endpoint_url="http://minio:9000/")
    )
    assert clean["prefix"] == "a/b" and clean["endpoint_url"] == "http://minio:9000"
    assert json.dumps(clean)
    assert Plugin(clean).target == "s3://bucket/a/b/ at minio:9000"


def test_two_parts_are_in_memory_at_a_time(s3, faulty):
    """The stream is not read ahead of a store that is slow."""
    faulty.add("slow", "PUT", "partNumber=1", seconds=0.5, times=1)
    given = []
    stream = Generated(80 * MIB, watch=given.append)
    thread = threading.Thread(target=s3.put, args=("a", stream))
    thread.start()
    time.sleep(0.4)
    assert max(given) <= 32 * MIB
    thread.join()


MEASURE = """
import json, sys, django
from django.conf import settings
settings.configure()
django.setup()
from backups.destinations import build
from tests.backups.destinations.streams import Generated
destination = build("s3", json.loads(sys.argv[1]))
destination.put("a", Generated(int(sys.argv[2])))
# Not ru_maxrss: a child inherits that from the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(options, size):
    """The most memory, in MiB, that a process needed to put `size` bytes."""
    environment = {
        "TEST_S3_ACCESS_KEY": "x",
        "TEST_S3_SECRET_KEY": "y",
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    argv = (sys.executable, "-c", MEASURE, json.dumps(options), str(size))
    return int(run(Command(argv, env=environment), timeout=120).stdout) // 1024


def test_memory_does_not_grow_with_the_data(s3_port, bucket):
    options = s3_server.options(s3_port, bucket)
    small, large = peak(options, 64 * MIB), peak(options, 320 * MIB)
    assert large < 130
    assert large - small < 8
    s3_server.client(s3_port).delete_object(Bucket=bucket, Key="drc/a")
