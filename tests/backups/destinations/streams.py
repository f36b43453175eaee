"""Streams that tests give to destinations: exact bytes without holding them, and streams that fail."""

import hashlib
from collections.abc import Callable


class Generated:
    """`size` bytes that look random and are the same each time; remembers their digest."""

    def __init__(self, size: int, *, step: int = 1 << 20, watch: Callable[[int], None] | None = None) -> None:
        self._left = size
        self._step = step
        self._pattern = hashlib.shake_128(b"drcenter").digest((1 << 20) + 4093)
        self._offset = 0
        self._watch = watch
        self.digest = hashlib.sha256()
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        count = min(self._left, self._step, size if size >= 0 else self._step)
        self._offset = (self._offset + 1013) % 4093
        block = self._pattern[self._offset : self._offset + count]
        self._left -= len(block)
        self.given += len(block)
        self.digest.update(block)
        if self._watch is not None:
            self._watch(self.given)
        return block


class Broken(Generated):
    """Yields `size` bytes, then raises: what a dump that dies looks like."""

    def __init__(self, size: int, error: BaseException) -> None:
        super().__init__(size)
        self._error = error

    def read(self, size: int = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            raise self._error
        return block
