"""The way back: stored bytes | decrypt | decompress, with digests on both sides."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyrage
import zstandard
from blake3 import blake3

from backups.destinations.base import Reader
from backups.pipe.channel import Blocks, Channel, Remembering, Source
from backups.pipe.frames import Frames
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
# The largest window of `zstd -19`; a hostile frame cannot ask for more memory.
LARGEST_WINDOW = 1 << 27
DAMAGE_HINT = "The copy is damaged, or is not the part it claims to be. Use another copy or another set."


class Damaged(OperationFailed):
    """The bytes are not what was stored. Trying again does not help; another copy may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, DAMAGE_HINT, permanent=True)


class WrongIdentity(OperationFailed):
    """The bytes were encrypted to others, or say so: a damaged header looks the same."""


@contextmanager
def opened(
    stored: Reader,
    identities: Sequence[pyrage.x25519.Identity],
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> "Iterator[Decoder]":
    """The plain bytes of a stored part: `with opened(...) as plain: plain.read(n)`. Closes what it started."""
    decoder = Decoder(stored, identities, advance)
    try:
        yield decoder
    finally:
        decoder.close()


class Decoder:
    """Reads stored bytes, decrypts (where there are identities), decompresses; digests both sides.

    Plain bytes before a damage come out before the damage is met: whoever reads has to reach the end, and call
    `finish`, before trusting them. The end is only reported where the stored bytes really end: raises Damaged
    when they were cut or changed, WrongIdentity when no identity fits, and what reading them raised.
    """

    def __init__(
        self, stored: Reader, identities: Sequence[pyrage.x25519.Identity], advance: Callable[[int], None]
    ) -> None:
        self.stored_size = self.plain_size = 0
        self._stored_digest, self._plain_digest = hashlib.sha256(), blake3()
        self._source, self._advance = stored, advance
        self._opened = Channel()
        self._frames = Frames()
        self._thread: threading.Thread | None = None
        if identities:
            self._thread = threading.Thread(target=self._decrypt, args=(list(identities),), name="decrypt")
            self._thread.start()
        source: Source = self._opened if identities else _Function(self._read_stored)
        unpacker = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        followed: Any = _Followed(source, self._frames)
        self._plain = unpacker.stream_reader(followed, read_size=BLOCK, read_across_frames=True)

    def _read_stored(self, size: int = -1, /) -> bytes:
        block = self._source.read(size if size >= 0 else BLOCK)
        self._stored_digest.update(block)
        self.stored_size += len(block)
        return block

    def _decrypt(self, identities: list[pyrage.x25519.Identity]) -> None:
        source, sink = Remembering(_Function(self._read_stored)), Blocks(self._opened, BLOCK)
        try:
            pyrage.decrypt_io(source, sink, identities)
            sink.flush_rest()
            self._opened.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
            self._opened.fail(source.error or sink.error or _decryption_failed(error))

    def read(self, size: int = -1, /) -> bytes:
        """1 to `size` bytes (1 MiB for -1), or b"" at the end."""
        try:
            block: bytes = self._plain.read(size if size >= 0 else BLOCK)
        except zstandard.ZstdError as error:
            raise Damaged(f"It cannot be decompressed: {error}.") from error
        if not block and size and not self._frames.complete:
            raise Damaged("It ends in the middle.")
        self._plain_digest.update(block)
        self.plain_size += len(block)
        self._advance(len(block))
        return block

    def finish(self) -> None:
        """Read to the end, so that the digests are of everything."""
        while self.read(BLOCK):
            continue
        while self._thread is None and self._read_stored(BLOCK):
            continue

    @property
    def stored_sha256(self) -> str:
        return self._stored_digest.hexdigest()

    @property
    def plain_blake3(self) -> str:
        return self._plain_digest.hexdigest()

    def close(self) -> None:
        self._opened.fail(OperationFailed("The reader was closed."))
        if self._thread is not None:
            self._thread.join()


def _decryption_failed(error: BaseException) -> BaseException:
    """pyrage says OSError for damaged contents, DecryptError for a damaged header and for other recipients."""
    if not isinstance(error, pyrage.DecryptError | OSError):
        return error
    if "No matching keys" in str(error):
        return WrongIdentity(
            "The identity does not fit: this set was encrypted to other recipients.",
            "Compare the set's recipients with `age-keygen -y` of the identity.",
            permanent=True,
        )
    return Damaged(f"It cannot be decrypted: {str(error).partition(chr(10))[0].rstrip('.')}.")


class _Function:
    """A function as a reader."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._function = read

    def read(self, size: int = -1, /) -> bytes:
        return self._function(size)


class _Followed:
    """A reader whose frames are followed."""

    def __init__(self, source: Source, frames: Frames) -> None:
        self._source, self._frames = source, frames

    def read(self, size: int = -1, /) -> bytes:
        block = self._source.read(size if size >= 0 else BLOCK)
        self._frames.feed(block)
        return block
