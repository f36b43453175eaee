"""A bounded channel of blocks between two threads of the stream (pure).

It ends in one of two ways: closed (the reader sees the end) or failed (the reader gets the error). A
reader that gives up fails the channel from its side, so that the writer does not wait for ever.
"""

from collections import deque
from threading import Condition


class Channel:
    """At most `blocks` blocks wait in it: memory does not grow with the data."""

    def __init__(self, blocks: int = 4) -> None:
        self._room = blocks
        self._blocks: deque[bytes] = deque()
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._rest = memoryview(b"")

    def put(self, block: bytes) -> None:
        """Raises the error that the other side failed with."""
        if not block:
            return
        with self._changed:
            while len(self._blocks) >= self._room and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._blocks.append(block)
            self._changed.notify_all()

    def close(self) -> None:
        """No more blocks: the reader gets what is left, then the end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Both sides get `error`; the first one stays."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def get(self) -> bytes:
        """The next block, or b"" at the end. Raises the error of the other side at once."""
        with self._changed:
            while not self._blocks and not self._closed and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            if not self._blocks:
                return b""
            block = self._blocks.popleft()
            self._changed.notify_all()
            return block

    def read(self, size: int = -1) -> bytes:
        """As a file: up to `size` bytes, all that is left for -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest:
            self._rest = memoryview(self.get())
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)
