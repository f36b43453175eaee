"""Locks, on a server that keeps them: nobody deletes, shortens or hides for good what is locked."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import build
from backups.destinations.base import NotThere
from tests.backups.destinations import s3_server
from tests.backups.destinations.streams import Generated

MIB = 1 << 20
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)


@pytest.fixture
def bucket(locking_port):
    return s3_server.new_bucket(locking_port, locks=True)


@pytest.fixture(params=["COMPLIANCE", "GOVERNANCE"])
def mode(request):
    return request.param


@pytest.fixture
def s3(locking_port, bucket, s3_keys, mode):
    return build("s3", s3_server.options(locking_port, bucket, lock_mode=mode))


@pytest.mark.parametrize("size", [1000, 17 * MIB])
def test_what_is_locked_cannot_be_deleted(s3, bucket, locking_port, size):
    from botocore.exceptions import ClientError

    stored = s3.put("shop/a", Generated(size))
    assert s3.lock("shop/a", UNTIL).locked_until == UNTIL
    client = s3_server.client(locking_port)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="drc/shop/a", VersionId=stored.version)
    s3.delete("shop/a")
    with pytest.raises(NotThere):
        s3.head("shop/a")
    (hidden,) = s3.list_versions("shop/")
    assert (hidden.key, hidden.size, hidden.version) == ("shop/a", size, stored.version)


def test_a_lock_of_the_version_is_not_one_of_the_key(s3):
    first = s3.put("a", io.BytesIO(b"first"))
    s3.lock("a", UNTIL)
    second = s3.put("a", io.BytesIO(b"second"))
    assert s3.head("a").locked_until is None
    assert [one.version for one in s3.list_versions("")] == [second.version, first.version]
