"""Take and restore with an engine alone, without rows, storage or encryption: parts are bytes in memory."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from backups.engines.base import Engine, PartSpec, Producer
from backups.witness import Witness
from drcenter.pipes import feed
from drcenter.process import Command, start

BLOCK = 1 << 16
WAIT = 60


@dataclass
class Taken:
    """What one snapshot gave; `parts` in the order of their restore: (name, suffix, plain bytes)."""

    parts: list[tuple[str, str, bytes]] = field(default_factory=list)
    witness: Witness = field(default_factory=Witness)
    position: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return next(plain for part, _suffix, plain in self.parts if part == name).decode(errors="replace")


def take(engine: Engine, on_block: Callable[[PartSpec, bytes], None] | None = None) -> Taken:
    """All parts and the witness of one moment. Raises OperationFailed as the product would."""
    taken = Taken()
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            taken.parts.append((spec.name, spec.suffix, collect(spec, on_block)))
        taken.witness = snapshot.witness()
        taken.position = dict(snapshot.position)
    return taken


def collect(spec: PartSpec, on_block: Callable[[PartSpec, bytes], None] | None = None) -> bytes:
    """The plain bytes of a part, with its watch called as the contract says."""
    blocks: list[bytes] = []
    watch = spec.watch
    for producer in spec.producers:
        for block in produced(producer):
            blocks.append(block)
            if watch is not None and watch(block):
                watch = None
            if on_block is not None:
                on_block(spec, block)
    return b"".join(blocks)


def produced(producer: Producer) -> Iterator[bytes]:
    if not isinstance(producer, Command):
        yield from producer()
        return
    with start(producer) as child:
        while block := child.stdout.read(BLOCK):
            yield block
        child.wait_good(WAIT)


def restore(engine: Engine, taken: Taken, *, overwrite: bool = False) -> None:
    """Prepare the place and feed all parts. Raises OperationFailed when a part is refused."""
    engine.prepare(overwrite=overwrite)
    for name, suffix, plain in taken.parts:
        consumer = engine.consumer(name, suffix)
        if isinstance(consumer, Command):
            with start(consumer, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
                feed(child.stdin, consumer.input([plain]))
                child.wait_good(WAIT)
        else:
            consumer(BytesIO(plain))
    engine.finish(taken.witness)


@contextlib.contextmanager
def restored(engine: Engine, taken: Taken, workspace: Any, facts: Mapping[str, Any]) -> Iterator[Engine]:
    """A scratch place with the set in it."""
    with engine.scratch(workspace, facts) as scratch:
        restore(scratch, taken)
        yield scratch
