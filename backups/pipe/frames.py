"""Follows the frames of a zstd stream, to know whether its end is one (pure).

zstandard's reader takes the end of a cut stream for the end of the data. Only the headers are looked at here
(RFC 8878, section 3.1): a few bytes in each 128 KiB.
"""

from collections.abc import Callable

MAGIC = b"\x28\xb5\x2f\xfd"
RLE = 1
# Whatever follows what is no frame is none either.
ENDLESS = 1 << 62

Step = Callable[[bytes], None]


class Frames:
    """Feed it the bytes in order. `complete` is True between frames, after at least one."""

    def __init__(self) -> None:
        self.complete = False
        self._head = b""
        self._needed = 4
        self._skip = 0
        self._step: Step = self._begin
        self._checksum = 0

    def feed(self, block: bytes) -> None:
        position, size = 0, len(block)
        while position < size:
            if self._skip:
                taken = min(self._skip, size - position)
                self._skip -= taken
            else:
                taken = min(self._needed - len(self._head), size - position)
                self._head += block[position : position + taken]
                self.complete = False
            position += taken
            if not self._skip and len(self._head) == self._needed:
                head, self._head = self._head, b""
                self._step(head)

    def _begin(self, head: bytes) -> None:
        """A frame's magic number; what is none is left to the decoder, which refuses it."""
        if head == MAGIC:
            self._expect(1, self._descriptor)
        elif head[1:] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:
            self._expect(4, self._skippable)
        else:
            self._expect(0, self._begin, skip=ENDLESS)

    def _expect(self, count: int, step: Step, skip: int = 0) -> None:
        self._needed, self._step, self._skip = count, step, skip

    def _skippable(self, head: bytes) -> None:
        self._end_after(int.from_bytes(head, "little"))

    def _descriptor(self, head: bytes) -> None:
        flags = head[0]
        single = flags >> 5 & 1
        content = (single, 2, 4, 8)[flags >> 6]
        dictionary = (0, 1, 2, 4)[flags & 3]
        self._checksum = 4 * (flags >> 2 & 1)
        self._expect(3, self._block, skip=1 - single + dictionary + content)

    def _block(self, head: bytes) -> None:
        value = int.from_bytes(head, "little")
        last, kind, size = value & 1, value >> 1 & 3, value >> 3
        content = 1 if kind == RLE else size
        if last:
            self._end_after(content + self._checksum)
        else:
            self._expect(3, self._block, skip=content)

    def _end_after(self, count: int) -> None:
        """The frame ends with the next `count` bytes."""
        if count:
            self._expect(0, self._ended, skip=count)
        else:
            self._ended(b"")

    def _ended(self, head: bytes) -> None:
        self.complete = True
        self._expect(4, self._begin)
