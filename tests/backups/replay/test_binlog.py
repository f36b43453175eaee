"""Binary logs, event by event: built here byte by byte, as a server writes them (tests/live reads a server's own)."""

import struct
import zlib
from io import BytesIO

import pytest

from backups.logs.binlog import GTID, HEADER, MAGIC, QUERY, QUERY_COMPRESSED, XID
from backups.replay.binlog import Group, Unreadable, Walk


class Log:
    """A binlog with checksums."""

    def __init__(self) -> None:
        self.bytes = MAGIC
        version = struct.pack("<H50sIB", 4, b"10.11.6-MariaDB-log", 1_700_000_000, 19)
        self.add(15, version + bytes(40) + b"\x01", at=1_700_000_000)

    def add(self, kind: int, body: bytes, at: int = 1_700_000_100) -> None:
        size = HEADER.size + len(body) + 4
        head = HEADER.pack(at, kind, 7, size, (len(self.bytes) + size) % (1 << 32), 0)
        self.bytes += head + body + struct.pack("<I", zlib.crc32(head + body))

    def begin(self, number: int, *, alone: bool = False) -> None:
        self.add(GTID, struct.pack("<QIB", number, 0, int(alone)) + bytes(6))

    def query(self, text: bytes, database: bytes = b"shop", kind: int = QUERY) -> None:
        self.add(kind, struct.pack("<IIBHH", 1, 0, len(database), 0, 3) + b"abc" + database + b"\0" + text)

    def rows(self, number: int, table: bytes, kind: int, database: bytes = b"shop") -> None:
        name = bytes([len(database)]) + database + b"\0" + bytes([len(table)]) + table + b"\0"
        self.add(19, number.to_bytes(6, "little") + b"\1\0" + name + b"\1\3\0\0")
        self.add(kind, number.to_bytes(6, "little") + b"\1\0" + bytes(5000))

    def transaction(self, number: int, text: bytes = b"INSERT INTO t VALUES (1)") -> None:
        self.begin(number)
        self.add(160, text)
        self.rows(number, b"t", 23)
        self.add(XID, bytes(8))


def walked(log: Log, cut: int = 0, **bounds: int) -> tuple[list[Group], Walk]:
    walk = Walk(BytesIO(log.bytes[: len(log.bytes) - cut]), **bounds)
    return list(walk.groups()), walk


def test_transactions_with_their_names_tables_and_texts() -> None:
    log = Log()
    log.transaction(5)
    log.begin(6, alone=True)
    log.query(b"DROP TABLE t")
    (first, second), walk = walked(log)
    assert (first.gtid, first.changes, first.at) == ("0-7-5", [("shop", "t", "insert")], 1_700_000_100)
    assert [(one.text, one.rows) for one in first.statements] == [("INSERT INTO t VALUES (1)", True)]
    assert [(one.text, one.database) for one in second.statements] == [("DROP TABLE t", "shop")]
    assert (first.end, second.end) == (second.begin, len(log.bytes))
    assert (walk.reached, walk.created) == (len(log.bytes), 1_700_000_000)


def test_a_transaction_that_is_not_whole_is_none() -> None:
    log = Log()
    log.transaction(1)
    whole = len(log.bytes)
    log.transaction(2)
    for cut in range(1, len(log.bytes) - whole):
        found, walk = walked(log, cut)
        assert ([one.gtid for one in found], walk.reached) == (["0-7-1"], whole), cut
    assert walked(log, upto=len(log.bytes) - 1)[1].reached == whole


def test_it_begins_and_ends_where_it_is_told() -> None:
    log = Log()
    log.transaction(1)
    first = len(log.bytes)
    log.transaction(2)
    second = len(log.bytes)
    log.transaction(3)
    found, walk = walked(log, begin=first, upto=second)
    assert [one.gtid for one in found] == ["0-7-2"]
    assert walk.reached == second


def test_a_compressed_statement_is_read() -> None:
    log = Log()
    log.begin(1, alone=True)
    text = b"CREATE TABLE t (" + b"c INT," * 100 + b"d INT)"
    packed = b"\x82" + len(text).to_bytes(2, "big") + zlib.compress(text)
    log.query(packed, kind=QUERY_COMPRESSED)
    assert walked(log)[0][0].statements[0].text == text.decode()


@pytest.mark.parametrize("end", [b"COMMIT", b"ROLLBACK", b"commit"])
def test_a_transaction_of_another_engine_ends_with_a_statement(end: bytes) -> None:
    log = Log()
    log.begin(1)
    log.rows(1, b"m", 25)
    log.query(end)
    (group,), _walk = walked(log)
    assert (group.statements, group.changes) == ([], [("shop", "m", "delete")])


@pytest.mark.parametrize("content", [b"", b"\x28\xb5\x2f\xfd", MAGIC + b"\xff" * 40])
def test_what_is_no_log_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable):
        list(Walk(BytesIO(content)).groups())


def test_a_log_that_the_server_encrypts_is_refused() -> None:
    log = Log()
    log.add(164, bytes(17))
    with pytest.raises(Unreadable, match="encrypted"):
        walked(log)
