"""Binary logs made by hand, as MariaDB writes them."""

import struct
import zlib

MAGIC = b"\xfebin"


def event(kind: int, body: bytes, offset: int, *, checksums: bool = True, server: int = 1) -> bytes:
    """One event that begins at `offset`."""
    length = 19 + len(body) + (4 if checksums or kind == 15 else 0)
    content = (
        struct.pack("<IBIIIH", 1_700_000_000, kind, server, length, (offset + length) & 0xFFFFFFFF, 0) + body
    )
    return content + struct.pack("<I", zlib.crc32(content)) if len(content) < length else content


class Log:
    """Grows event by event; `boundaries` are the ends of whole transactions."""

    def __init__(self, *, checksums: bool = True) -> None:
        self.content, self.checksums = MAGIC, checksums
        self.boundaries: list[int] = []
        self.sequence = 0
        description = (
            struct.pack("<H50sIB", 4, b"10.11.19-MariaDB-log", 0, 19) + bytes(170) + bytes([checksums])
        )
        self.add(15, description)
        self.add(163, bytes(4))

    def add(self, kind: int, body: bytes = b"", *, end: bool = True) -> "Log":
        self.content += event(kind, body, len(self.content), checksums=self.checksums)
        if end:
            self.boundaries.append(len(self.content))
        return self

    def gtid(self, *, standalone: bool = False) -> "Log":
        self.sequence += 1
        return self.add(162, struct.pack("<QIB", self.sequence, 0, standalone) + bytes(6), end=False)

    def query(self, text: bytes, *, end: bool) -> "Log":
        return self.add(2, struct.pack("<IIBHH", 1, 0, 4, 0, 3) + b"\0\0\0" + b"shop\0" + text, end=end)

    def transaction(self, size: int = 50, rows: int = 1) -> "Log":
        self.gtid()
        for _row in range(rows):
            self.add(160, b"INSERT", end=False).add(19, bytes(20), end=False).add(23, bytes(size), end=False)
        return self.add(16, bytes(8))

    def statement(self, text: bytes = b"CREATE TABLE t (id INT)") -> "Log":
        return self.gtid(standalone=True).add(5, bytes(9), end=False).query(text, end=True)

    def without_engine(self) -> "Log":
        """A transaction of tables that know none."""
        self.gtid().add(19, bytes(20), end=False).add(23, bytes(30), end=False)
        return self.query(b"COMMIT", end=True)
