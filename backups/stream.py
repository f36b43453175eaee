"""The pipeline of bytes: dump | compress | encrypt | store, with digests on both sides.

Everything runs at once, in threads that hold a few MiB: reading and digesting, compressing (zstd's own
threads), encrypting, storing. Measured on two cores with 2 GB: docs/benchmarks.md. A producer that dies looks
like the end of its output, so its exit code is asked before the end is passed on; a store that fails fails the
producer, which is killed.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyrage
import zstandard

from backups.channel import Channel
from backups.destinations.base import Reader, Stored
from backups.engines.base import PartSpec, Producer
from backups.sections import Sections
from drcenter.errors import OperationFailed
from drcenter.process import Children, Command, start

BLOCK = 1 << 20
# zstd's jobs default to 8 MiB and more a thread; 2 MiB keeps the memory small and costs under 1 % of the ratio.
JOB_SIZE = 2 << 20
THREADS = 2


@dataclass(frozen=True)
class StoredPart:
    """What is known of a part after it was stored: sizes in bytes, digests in hexadecimal."""

    plain_size: int
    plain_sha256: str
    stored_size: int
    stored_sha256: str
    sections: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Encoding:
    """How plain bytes become stored bytes. No recipients: not encrypted."""

    recipients: Sequence[pyrage.x25519.Recipient] = ()
    level: int = 3
    bytes_per_second: int | None = None
    children: Children | None = None
    advance: Callable[[int], None] = field(default=lambda count: None)


def store(part: PartSpec, put: Callable[[Reader], Stored], encoding: Encoding) -> StoredPart:
    """Run the part's producers through the pipeline into `put`.

    Raises the first failure: of a producer (nothing is published then), of the store (the producer is killed
    then), or Cancelled by `encoding.advance`. Raises OperationFailed for an empty or implausibly small dump.
    """
    began = time.monotonic()
    plain = Sections(part.marker, part.volatile)
    packed = Channel()
    encoder = _Encoder(packed, encoding)
    reader = threading.Thread(target=_produce, args=(part, plain, packed, encoding), name="produce")
    reader.start()
    try:
        put(encoder)
        encoder.check_end()
    except BaseException as error:
        packed.fail(error)
        encoder.fail(error)
        raise
    finally:
        reader.join()
        encoder.join()
    return StoredPart(
        plain.size, plain.sha256, encoder.size, encoder.sha256, plain.finish(), time.monotonic() - began
    )


def _produce(part: PartSpec, plain: Sections, packed: Channel, encoding: Encoding) -> None:
    """The thread that reads: digests, compresses, and closes the channel only after every exit code was good."""
    compressor = _compressor(encoding.level)
    watch = part.watch
    try:
        for block in _blocks(part.producers, encoding.children):
            plain.update(block)
            if watch is not None and watch(block):
                watch = None
            encoding.advance(len(block))
            packed.put(compressor.compress(block))
        _refuse_small(part, plain.size)
        packed.put(compressor.flush())
        packed.close()
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the stream's end
        packed.fail(error)


def _compressor(level: int) -> "zstandard.ZstdCompressionObj":
    parameters = zstandard.ZstdCompressionParameters.from_level(level, threads=THREADS, job_size=JOB_SIZE)
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


def _blocks(producers: Sequence[Producer], children: Children | None) -> Iterator[bytes]:
    for producer in producers:
        if isinstance(producer, Command):
            yield from _command_output(producer, children)
        else:
            yield from producer()


def _command_output(command: Command, children: Children | None) -> Iterator[bytes]:
    """Whole blocks of the command's output; its exit code is checked before the last of it counts."""
    with start(command, children=children) as child:
        buffer = bytearray(BLOCK)
        view, filled = memoryview(buffer), 0
        while count := child.stdout.readinto(view[filled:]):  # type: ignore[attr-defined]
            filled += count
            if filled == BLOCK:
                yield bytes(buffer)
                filled = 0
        child.wait_good()
        yield bytes(view[:filled])


def _refuse_small(part: PartSpec, size: int) -> None:
    if size < part.smallest:
        raise OperationFailed(
            f"The dump of {part.name} has {size} bytes; at least {part.smallest} were to be expected.",
            "Look at the source: is it the right database or directory, and may this user read it?",
        )


class _Encoder:
    """What the store reads from: the packed bytes, encrypted where there are recipients, digested and throttled."""

    def __init__(self, packed: Channel, encoding: Encoding) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._packed = packed
        self._sealed = Channel() if encoding.recipients else packed
        self._pace = Pace(encoding.bytes_per_second)
        self._thread: threading.Thread | None = None
        self._ended = False
        if encoding.recipients:
            self._thread = threading.Thread(
                target=self._encrypt, args=(list(encoding.recipients),), name="encrypt"
            )
            self._thread.start()

    def _encrypt(self, recipients: list[pyrage.x25519.Recipient]) -> None:
        source, sink = _Remembering(self._packed), _Blocks(self._sealed)
        try:
            pyrage.encrypt_io(source, sink, recipients)
            sink.flush_rest()
            self._sealed.close()
        except BaseException as error:  # noqa: BLE001 - pyrage hides the reader's own error: hand that on
            actual = source.error or sink.error or error
            self._sealed.fail(actual)
            self._packed.fail(actual)

    def read(self, size: int = -1, /) -> bytes:
        block = self._sealed.read(size if size >= 0 else BLOCK)
        if not block:
            self._ended = True
        self._digest.update(block)
        self.size += len(block)
        self._pace.wait(len(block))
        return block

    def check_end(self) -> None:
        """Raises when the store stopped reading before the end: what it holds is not the whole part."""
        if not self._ended and self.read(1):
            raise OperationFailed("The destination stopped reading before the end of the part.")

    def fail(self, error: BaseException) -> None:
        self._sealed.fail(error)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _Remembering:
    """A reader that keeps the error it raised."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._channel.read(size if size >= 0 else BLOCK)
        except BaseException as error:
            self.error = error
            raise


class _Blocks:
    """A writer that gathers small pieces into blocks for a channel, and keeps the error it met."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pieces: list[bytes] = []
        self._size = 0
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._size += len(data)
        if self._size >= BLOCK:
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


class Pace:
    """Keeps a stream at or below a number of bytes a second."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._limit = bytes_per_second
        self._began = time.monotonic()
        self._passed = 0

    def wait(self, count: int) -> None:
        if self._limit:
            self._passed += count
            ahead = self._passed / self._limit - (time.monotonic() - self._began)
            if ahead > 0:
                time.sleep(min(ahead, 5))


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
    `finish`, before trusting them. Raises OperationFailed for damage and for an identity that does not fit.
    """

    def __init__(
        self, stored: Reader, identities: Sequence[pyrage.x25519.Identity], advance: Callable[[int], None]
    ) -> None:
        self.stored_size = self.plain_size = 0
        self._stored_digest, self._plain_digest = hashlib.sha256(), hashlib.sha256()
        self._source, self._advance = stored, advance
        self._opened = Channel()
        self._thread: threading.Thread | None = None
        if identities:
            self._thread = threading.Thread(target=self._decrypt, args=(list(identities),), name="decrypt")
            self._thread.start()
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        source: Any = self._opened if identities else _Callable(self._read_stored)
        self._plain = unpacker.stream_reader(source, read_size=BLOCK, read_across_frames=True)

    def _read_stored(self, size: int = -1) -> bytes:
        block = self._source.read(size if size >= 0 else BLOCK)
        self._stored_digest.update(block)
        self.stored_size += len(block)
        return block

    def _decrypt(self, identities: list[pyrage.x25519.Identity]) -> None:
        sink = _Blocks(self._opened)
        source = _Keeping(self._read_stored)
        try:
            pyrage.decrypt_io(source, sink, identities)
            sink.flush_rest()
            self._opened.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
            self._opened.fail(source.error or sink.error or _decryption_failed(error))

    def read(self, size: int = -1, /) -> bytes:
        try:
            block: bytes = self._plain.read(size if size >= 0 else BLOCK)
        except zstandard.ZstdError as error:
            raise OperationFailed(
                f"The part cannot be decompressed: {error}.", DAMAGE_HINT, permanent=True
            ) from error
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
    def plain_sha256(self) -> str:
        return self._plain_digest.hexdigest()

    def close(self) -> None:
        self._opened.fail(OperationFailed("The reader was closed."))
        if self._thread is not None:
            self._thread.join()


DAMAGE_HINT = "The copy is damaged, or is not the part it claims to be. Use another copy or another set."


def _decryption_failed(error: BaseException) -> BaseException:
    if not isinstance(error, (pyrage.DecryptError, OSError)):
        return error
    if "No matching keys" in str(error) or "matching" in str(error):
        return OperationFailed(
            "The identity does not fit: this set was encrypted to other recipients.",
            "Compare the set's recipients with `age-keygen -y` of the identity.",
            permanent=True,
        )
    return OperationFailed(f"The part cannot be decrypted: {error}.", DAMAGE_HINT, permanent=True)


class _Callable:
    """A function as a reader."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read


class _Keeping:
    """A function as a reader that keeps the error it raised."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except BaseException as error:
            self.error = error
            raise
