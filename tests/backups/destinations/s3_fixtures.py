"""An S3 destination behind a server that misbehaves."""

import traceback

import pytest

from backups.destinations import build
from drcenter.errors import OperationFailed
from tests.backups.destinations import s3_server

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
