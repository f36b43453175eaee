"""The pipeline of bytes: dump | compress | encrypt | store, with digests on both sides. Back: backups.decode.

Everything runs at once, in threads that hold a few MiB: reading and digesting, compressing (zstd's own
threads), encrypting and storing. Measured on two cores with 2 GB: docs/benchmarks.md. A producer that dies looks
like the end of its output, so its exit code is asked before the end is passed on; a store that fails fails the
producer, which is killed.
"""

import ctypes
import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial

import pyrage

from backups.destinations.base import Reader, Stored
from backups.engines.base import PartSpec, Producer
from backups.pipe.age import Sealer
from backups.pipe.channel import Channel
from backups.pipe.packing import Block, Packer
from backups.pipe.sections import Sections
from drcenter.errors import OperationFailed
from drcenter.process import DEVNULL, PIPE, Children, Command, fed, start

BLOCK = 1 << 20
# Of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class StoredPart:
    """What is known of a part after it was stored: sizes in bytes, digests in hexadecimal."""

    plain_size: int
    plain_blake3: str
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
    _keep_freed_memory()
    plain = Sections(part.marker, part.volatile)
    packed, children = Channel(blocks=2), Children()
    encoder = _Encoder(packed, encoding)
    work = partial(_produce, part, plain, packed, encoding, children)
    reader = threading.Thread(target=work, name="produce")
    reader.start()
    try:
        put(encoder)
        encoder.check_end()
    except BaseException as error:
        packed.fail(error)
        # A producer that says nothing (it waits for a lock) would not notice that nobody listens.
        children.kill()
        raise
    finally:
        reader.join()
        _give_memory_back()
    return StoredPart(
        plain.size, plain.blake3, encoder.size, encoder.sha256, plain.finish(), time.monotonic() - began
    )


@cache
def _c_library(function: str) -> Callable[..., int]:
    """A function of GNU's C library; one that does nothing where that is another one."""
    return getattr(ctypes.CDLL(None), function, lambda *arguments: 0)


def _keep_freed_memory() -> None:
    """From now on freed blocks stay with this process: else each MiB is paged in anew, a tenth of the CPU seconds.

    The limits are those of mallopt(3); what is freed at the top is given back from 32 MiB on.
    """
    _c_library("mallopt")(M_MMAP_THRESHOLD, 32 << 20)
    _c_library("mallopt")(M_TRIM_THRESHOLD, 32 << 20)


def _give_memory_back() -> None:
    """What the stream had: whoever works next (a witness of many files) needs other memory."""
    _c_library("malloc_trim")(0)


def _produce(
    part: PartSpec, plain: Sections, packed: Channel, encoding: Encoding, children: Children
) -> None:
    """The thread that reads: digests, compresses, and closes the channel only after every exit code was good."""
    try:
        # age notices each damage; without it, zstd shall.
        with (
            _within(encoding.children, children),
            Packer(encoding.level, checksum=not encoding.recipients) as packer,
        ):
            for block in _watched(part, packer, children):
                plain.update(block)
                encoding.advance(len(block))
                for frame in packer.add(block):
                    packed.put(frame)
            _refuse_small(part, plain.size)
            for frame in packer.finish():
                packed.put(frame)
        packed.close()
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the stream's end
        packed.fail(error)


@contextmanager
def _within(outer: Children | None, inner: Children) -> Iterator[None]:
    """While inside, whoever kills `outer` kills `inner`."""
    if outer is None:
        yield
        return
    outer.add(inner)
    try:
        yield
    finally:
        outer.discard(inner)


def _watched(part: PartSpec, packer: Packer, children: Children) -> Iterator[Block]:
    """The blocks of all producers, each shown to the part's watch until that has seen enough."""
    watch = part.watch
    with closing(_blocks(part.producers, packer, children)) as blocks:
        for block in blocks:
            if watch is not None and watch(block):
                watch = None
            yield block


def _blocks(
    producers: Sequence[Producer], packer: Packer, children: Children
) -> Generator[Block, None, None]:
    for producer in producers:
        if isinstance(producer, Command):
            yield from _command_output(producer, packer, children)
        else:
            yield from producer()


def _command_output(command: Command, packer: Packer, children: Children) -> Iterator[Block]:
    """Whole blocks of the command's output, in the packer's own buffers; the last one as bytes, after its exit code
    was good."""
    stdin = DEVNULL if command.fed_by is None else PIPE
    with start(replace(command, large_writes=True), stdin=stdin, children=children) as child, fed(child):
        buffer, filled = packer.spare(), 0
        while count := child.stdout.readinto(memoryview(buffer)[filled:]):  # type: ignore[attr-defined]
            filled += count
            if filled == len(buffer):
                yield buffer
                buffer, filled = packer.spare(), 0
        child.wait_good()
        yield bytes(memoryview(buffer)[:filled])


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
        self._sealer = Sealer(encoding.recipients) if encoding.recipients else None
        self._waiting: bytes | memoryview = b""
        self._pace = Pace(encoding.bytes_per_second)
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        while not self._waiting and not self._ended:
            self._waiting = self._next()
        wanted = size if size >= 0 else BLOCK
        taken, self._waiting = self._waiting, b""
        if len(taken) > wanted:
            taken, self._waiting = memoryview(taken)[:wanted], memoryview(taken)[wanted:]
        self._digest.update(taken)
        self.size += len(taken)
        self._pace.wait(len(taken))
        return bytes(taken)  # No copy, unless it was cut.

    def _next(self) -> bytes:
        """The next stored bytes: none while the sealer waits for more, or at the end."""
        block = self._packed.get()
        self._ended = not block
        if self._sealer is None:
            return block
        return self._sealer.update(block) if block else self._sealer.finish()

    def check_end(self) -> None:
        """Raises when the store stopped reading before the end: what it holds is not the whole part."""
        if self.read(1):
            raise OperationFailed("The destination stopped reading before the end of the part.")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Pace:
    """Keeps a stream at or below a number of bytes a second, within each second: a pause earns no rush."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self._limit = bytes_per_second
        self._free_at = time.monotonic()

    def wait(self, count: int) -> None:
        """Call it after `count` bytes; returns when the next ones may pass."""
        if not self._limit:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 1) + count / self._limit
        if self._free_at > now:
            time.sleep(self._free_at - now)
