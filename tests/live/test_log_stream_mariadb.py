"""The archive of a real server's binary log: through kills, restarts, resets, purges and damage."""

import pytest

from backups.logs import chain, read
from backups.logs.chain import Position
from tests.live.archiving import Archive, archive, mortal

__all__ = ["archive", "mortal"]
pytestmark = pytest.mark.django_db(transaction=True)


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
