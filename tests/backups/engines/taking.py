"""Taking and restoring with an engine, in memory: what the product's runner does, as short as can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from backups.engines.base import Engine, Finding, PartSpec
from backups.witness import Witness
from drcenter.process import DEVNULL, PIPE, Command, fed, run, start

BLOCK = 1 << 20


@dataclass
class Taken:
    parts: list[tuple[PartSpec, bytes]]
    witness: Witness
    findings: Sequence[Finding]

    @property
    def names(self) -> list[str]:
        return [spec.name for spec, _ in self.parts]


def produced(spec: PartSpec) -> bytes:
    """The plain bytes of a part."""
    data, watch = b"", spec.watch
    for producer in spec.producers:
        for block in _blocks(producer) if isinstance(producer, Command) else producer():
            data += block
            if watch is not None and watch(block):
                watch = None
    assert len(data) >= spec.smallest
    return data


def _blocks(command: Command) -> Iterator[bytes]:
    stdin = DEVNULL if command.fed_by is None else PIPE
    with start(command, stdin=stdin) as child, fed(child):
        while block := child.stdout.read(BLOCK):
            yield block
        child.wait_good()


def take(engine: Engine, between=None) -> Taken:
    """All parts and the witness; `between(name)` is called after each part was read."""
    parts = []
    with engine.snapshot() as snapshot:
        for spec in snapshot.parts():
            parts.append((spec, produced(spec)))
            if between is not None:
                between(spec.name)
        witness = snapshot.witness()
        findings = snapshot.findings()
    return Taken(parts, Witness.from_json(witness.as_json()), findings)


def restore(engine: Engine, taken: Taken, *, overwrite: bool = False) -> None:
    engine.prepare(overwrite=overwrite)
    engine.expect(taken.witness)
    for spec, data in taken.parts:
        consumer = engine.consumer(spec.name, spec.suffix)
        if isinstance(consumer, Command):
            run(consumer, input=data)
        else:
            consumer(BytesIO(data))
    engine.finish(taken.witness)
