"""An interrupted upload of bytes that can be given again goes on where it stood."""

import hashlib
import io
import os

import pytest

from backups.destinations import build
from drcenter.errors import OperationFailed
from tests.backups.destinations import s3_server
from tests.backups.destinations.s3_fixtures import MIB, bucket, failure, really, s3
from tests.backups.destinations.streams import Generated

__all__ = ["bucket", "really", "s3"]
SIZE = 50 * MIB  # Parts of 16 MiB: four.


def interrupted(s3, faulty) -> None:
    faulty.add("status", "PUT", "partNumber=3")
    error = failure(lambda: s3.replay("a", Generated(SIZE), expected_size=SIZE))
    assert not error.permanent
    faulty.faults.clear()
    faulty.requests.clear()


def sent_parts(faulty) -> list[str]:
    return sorted(line.split("partNumber=")[1][0] for line in faulty.requests if "partNumber=" in line)


@pytest.fixture(params=["when_supported", "when_required"])
def s3(request, faulty, bucket, s3_keys):  # noqa: F811 - both ways of checksums
    return build("s3", s3_server.options(faulty.port, bucket) | {"checksums": request.param})


def test_only_what_is_missing_is_sent(s3, faulty, really):
    interrupted(s3, faulty)
    assert len(really()[1]) == 1
    stream = Generated(SIZE)
    assert s3.replay("a", stream, expected_size=SIZE).size == SIZE
    assert sent_parts(faulty) == ["3", "4"]
    with s3.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()
    assert really() == (["drc/a"], [])


def test_other_bytes_are_sent_whatever_is_there(s3, faulty, really):
    content = bytearray(os.urandom(SIZE))
    faulty.add("status", "PUT", "partNumber=3")
    failure(lambda: s3.replay("a", io.BytesIO(content), expected_size=SIZE))
    faulty.faults.clear()
    faulty.requests.clear()
    content[5] ^= 1
    assert s3.replay("a", io.BytesIO(content), expected_size=SIZE).size == SIZE
    assert sent_parts(faulty) == ["1", "3", "4"]
    with s3.open("a") as back:
        assert back.read() == content
    assert really() == (["drc/a"], [])


def test_what_was_swept_meanwhile_begins_anew(s3, faulty, really):
    interrupted(s3, faulty)
    s3.abort("")
    assert s3.replay("a", Generated(SIZE), expected_size=SIZE).size == SIZE
    assert sent_parts(faulty) == ["1", "2", "3", "4"]
    assert really() == (["drc/a"], [])


def test_what_fails_for_good_leaves_nothing(s3, faulty, really):
    faulty.add("status", "PUT", "partNumber=2", status=(403, "AccessDenied"))
    assert failure(lambda: s3.replay("a", Generated(SIZE), expected_size=SIZE)).permanent
    assert really() == ([], [])


def test_a_small_object_is_stored_in_one_piece(s3, really):
    assert s3.replay("a", Generated(1000), expected_size=1000).size == 1000
    assert really() == (["drc/a"], [])


def test_a_stream_that_breaks_publishes_nothing(s3, really):
    class Broken:
        def __init__(self) -> None:
            self.left = Generated(SIZE)
            self.given = 0

        def read(self, size: int = -1) -> bytes:
            block = self.left.read(size)
            self.given += len(block)
            if self.given > 40 * MIB:
                raise OperationFailed("The source is damaged.", permanent=True)
            return block

    with pytest.raises(OperationFailed, match="damaged"):
        s3.replay("a", Broken(), expected_size=SIZE)
    assert really() == ([], [])
