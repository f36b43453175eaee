"""A bounded channel of blocks between two threads of the stream (pure).

It ends in one of two ways: closed (the reader sees the end) or failed (the reader gets the error). A
reader that gives up fails the channel from its side, so that the writer does not wait for ever.
"""

from collections import deque
from threading import Condition
from typing import Protocol


class Source(Protocol):
    """What can be read from."""

    def read(self, size: int = -1, /) -> bytes: ...


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

    def read(self, size: int = -1, /) -> bytes:
        """As a file: up to `size` bytes, all that is left for -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest:
            block = self.get()
            if len(block) <= size:
                return block
            self._rest = memoryview(block)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


class Remembering:
    """A reader that keeps the error it met: libraries that read from it hide what it was."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.error: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._source.read(size)
        except BaseException as error:
            self.error = error
            raise


class Blocks:
    """A writer that gathers small pieces into blocks of `size` for a channel, and keeps the error it met."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel = channel
        self._least = size
        self._pieces: list[bytes] = []
        self._size = 0
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._size += len(data)
        if self._size >= self._least:
            self.flush_rest()
        return len(data)

    def flush(self) -> None:
        """Nothing to do: blocks go on when they are full."""

    def flush_rest(self) -> None:
        try:
            self._channel.put(b"".join(self._pieces))
        except BaseException as error:
            self.error = error
            raise
        self._pieces, self._size = [], 0
