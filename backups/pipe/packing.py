"""Compresses a stream in pieces of 2 MiB, side by side; each becomes a zstd frame of its own.

A file of several frames is a .zst like any other (RFC 8878, section 3.1): every decoder reads them as one. Beside
zstd's own threads it takes a sixth less CPU, since no job has to look at the end of the one before, and fewer bytes,
since the pieces may be larger for the same memory (docs/benchmarks.md).
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import zstandard

from backups.pipe.raw import packed_already, raw_frame

THREADS = 2
# Frames that may wait beside those that are being compressed, so that neither side stands still.
AHEAD = 1
FRAME = 2 << 20
# The levels from here on are chosen for few bytes: they look further back, and may hold more memory for it.
THOROUGH, LARGE_FRAME = 6, 8 << 20

Block = bytes | bytearray


class Packer:
    """Takes blocks, gives frames, in order. A few frames wait in it. A context manager.

    With `checksum`, each frame has one of its plain bytes, so that `zstd` alone notices a damage. Not for several threads at a time. Leaving it waits for the frames that are being compressed.
    """

    def __init__(self, level: int, *, checksum: bool) -> None:
        self._size = FRAME if level < THOROUGH else LARGE_FRAME
        self._checksum = checksum
        self._parameters = zstandard.ZstdCompressionParameters.from_level(
            level, source_size=self._size, write_checksum=checksum
        )
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pack")
        self._waiting: deque[tuple[Future[bytes], bytearray | None]] = deque()
        self._held: list[Block] = []
        self._held_size = 0
        self._free: list[bytearray] = []
        self._lent: bytearray | None = None
        self._begun = False

    def spare(self) -> bytearray:
        """A buffer of one frame's size. Filled and passed to `add`, it becomes a frame without a copy, and is the
        packer's from then on."""
        if self._lent is None:
            self._lent = self._free.pop() if self._free else bytearray(self._size)
        return self._lent

    def add(self, block: Block) -> Iterator[bytes]:
        """The frames that are ready, after `block` was taken. Other blocks than those of `spare` are not to change."""
        if block is self._lent:
            self._submit_held(to_the_end=True)
            self._submit(block, self._lent)
            self._lent = None
        elif block:
            self._held.append(block)
            self._held_size += len(block)
            if self._held_size >= self._size:
                self._submit_held(to_the_end=False)
        while len(self._waiting) > THREADS + AHEAD:
            yield self._oldest()

    def finish(self) -> Iterator[bytes]:
        """The frames that are left; an empty one when there were no bytes at all."""
        self._submit_held(to_the_end=True)
        if not self._begun:
            self._submit(b"", None)
        while self._waiting:
            yield self._oldest()

    def _submit_held(self, *, to_the_end: bool) -> None:
        """Whole frames of what is held, and with `to_the_end` the rest of it, too."""
        content = memoryview(self._held[0] if len(self._held) == 1 else b"".join(self._held))
        while len(content) >= self._size or (to_the_end and content):
            self._submit(content[: self._size], None)
            content = content[self._size :]
        self._held, self._held_size = [bytes(content)] if content else [], len(content)

    def _submit(self, content: Block | memoryview, buffer: bytearray | None) -> None:
        self._begun = True
        self._waiting.append((self._pool.submit(self._frame, content), buffer))

    def _oldest(self) -> bytes:
        future, buffer = self._waiting.popleft()
        frame = future.result()
        if buffer is not None:
            self._free.append(buffer)
        return frame

    def _frame(self, content: Block | memoryview) -> bytes:
        """In a thread of the pool, each of which has a compressor of its own."""
        if not hasattr(self._own, "compressor"):
            self._own.compressor = zstandard.ZstdCompressor(compression_params=self._parameters)
            self._own.sampler = zstandard.ZstdCompressor(level=1)
        if packed_already(content, self._own.sampler):
            return raw_frame(content, checksum=self._checksum)
        frame: bytes = self._own.compressor.compress(content)
        return frame

    def __enter__(self) -> "Packer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
