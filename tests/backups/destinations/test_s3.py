"""The S3 destination: its connection test, locks, sizes of parts, and options."""

import base64
import hashlib
import io
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import build
from backups.destinations._s3_upload import MOST_PARTS, SMALLEST_PART, first_part_size, part_size
from backups.destinations.base import NotThere
from backups.destinations.s3 import Plugin, S3Options
from backups.places.trial import check
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.destinations import s3_server
from tests.backups.destinations.faulty_s3 import DENIED, REVOKED
from tests.backups.destinations.s3_fixtures import MIB, bucket, failure, s3
from tests.backups.destinations.streams import Generated

__all__ = ["bucket", "s3"]


class TestCheck:
    """What the connection check tells an operator."""

    def error(self, options, **changes):
        return failure(lambda: check(Plugin(validated(S3Options, options | changes))))

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
        error = self.error(s3_server.options(faulty.port, bucket))
        assert "cannot be deleted" in error.message and "refuses access" in error.message

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
    check(Plugin(s3_server.options(s3_port, bucket)))
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
