"""Reading an object in ranges, in constant memory: for stores whose clients download more than was asked for."""

import io
from collections.abc import Callable
from typing import Any

from backups.destinations import _retry
from drcenter.errors import OperationFailed

RANGE = 8 << 20

# fetch(position, count): that many bytes of the object that was opened, or an error if it was replaced since.
Fetch = Callable[[int, int], bytes]


class RangedReader(io.RawIOBase):
    """The bytes from `start` to `end`. Each range is asked for again after transient errors."""

    def __init__(self, key: str, fetch: Fetch, start: int, end: int) -> None:
        super().__init__()
        self._key, self._fetch = key, fetch
        self._position, self._end = start, end
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and self._position < self._end:
            self._rest = memoryview(_retry.retried(self._next))
            self._position += len(self._rest)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        wanted = min(RANGE, self._end - self._position)
        block = self._fetch(self._position, wanted)
        if len(block) != wanted:
            raise OperationFailed(f"{self._key} ends too early at byte {self._position + len(block)}.")
        return block
