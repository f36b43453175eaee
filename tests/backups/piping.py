"""The stream with its ends in memory, and what is left of threads and children."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

from backups.engines.base import PartSpec
from backups.pipe.decode import opened
from backups.pipe.stream import Encoding, StoredPart, store
from drcenter import process_tree
from drcenter.process import Command


@dataclass
class Sink:
    """A destination's `put`: publishes what it read when the stream has ended, and nothing when it raises."""

    published: bytes | None = None
    received: int = 0
    on_block: Callable[[int], None] = field(default=lambda received: None)
    block: int = 1 << 20

    def __call__(self, stream) -> None:
        pieces = []
        while block := stream.read(self.block):
            pieces.append(block)
            self.received += len(block)
            self.on_block(self.received)
        self.published = b"".join(pieces)


def shell(script: str) -> Command:
    return Command(("sh", "-c", script))


def part(*producers, **fields) -> PartSpec:
    return PartSpec("part", "bin", tuple(producers), **fields)


def of_bytes(*blocks: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(blocks)


def stored(data: bytes, encoding: Encoding | None = None) -> tuple[bytes, StoredPart]:
    sink = Sink()
    known = store(part(of_bytes(data), smallest=0), sink, encoding or Encoding())
    assert sink.published is not None
    return sink.published, known


def plain(stored: bytes, *identities) -> bytes:
    with opened(BytesIO(stored), identities) as source:
        pieces = list(iter(lambda: source.read(100_000), b""))
        source.finish()
    return b"".join(pieces)


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread and no child process more than before; stderr's readers have a moment to end."""
    threads, children = set(threading.enumerate()), set(process_tree.descendants(_pid()))
    yield
    for thread in set(threading.enumerate()) - threads:
        # The spawner stays for as long as the process.
        if not thread.name.startswith("spawner"):
            thread.join(2)
            assert not thread.is_alive(), thread.name
    assert set(process_tree.descendants(_pid())) - children == set()


def _pid() -> int:
    import os

    return os.getpid()
