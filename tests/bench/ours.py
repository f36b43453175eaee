"""Our pipeline as one measured process: snapshot, dump, compress, encrypt, store; then, apart, the rest."""

import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")

import django

django.setup()

import pyrage

from backups import destinations, engines
from backups.engines._files_snapshot import TreeSnapshot
from backups.models import Part
from backups.pipe.stream import Encoding, store
from backups.storage import readback
from backups.witness import differences
from drcenter.pipes import write_all
from drcenter.process import Command, start

PREFIX = "bench/"


def used() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))


def peak() -> float:
    """MB that this process had at most since it began; what its parent had does not count."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


class Apart:
    """What a function costs, summed up: seconds on the clock and of CPU."""

    wall = cpu = 0.0

    def of(self, function: Callable) -> Callable:
        def timed(*arguments):
            wall, cpu = time.monotonic(), used()
            try:
                return function(*arguments)
            finally:
                self.wall += time.monotonic() - wall
                self.cpu += used() - cpu

        return timed


def main(kind: str, options: dict, also: bool) -> dict:
    place = destinations.build("local", {"path": options.pop("destination")})
    place.prepare()
    identity, ephemeral = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    encoding = Encoding([identity.to_public(), ephemeral.to_public()], options.pop("level", 2))
    engine, parts = engines.build(kind, options), []
    result: dict = {}
    wall, cpu = time.monotonic(), used()
    with engine.snapshot() as snapshot:
        looking = Apart()
        if isinstance(snapshot, TreeSnapshot):
            # It digests the tree between its parts, where others are asked for the witness afterwards.
            snapshot._look = looking.of(snapshot._look)
        for spec in snapshot.parts():
            key = f"{len(parts)}-{spec.name}"
            stored = store(spec, lambda stream, key=key: place.put(PREFIX + key, stream), encoding)
            parts.append((spec, key, stored))
        wall, cpu = time.monotonic() - wall - looking.wall, used() - cpu - looking.cpu
        result |= {"wall": wall, "cpu": cpu, "memory": peak(), "witness": looking.wall}
        result["plain"] = sum(stored.plain_size for _spec, _key, stored in parts)
        result["stored"] = sum(stored.stored_size for _spec, _key, stored in parts)
        if also:
            _also(engine, snapshot, place, parts, ephemeral, result)
    return result


def _also(engine, snapshot, place, parts, identity, result) -> None:
    """Witness, read-back and proof, each timed apart."""
    began = time.monotonic()
    witness = snapshot.witness()
    result["witness"] += time.monotonic() - began
    copy, began = readback.ReadableCopy(place, PREFIX, [identity]), time.monotonic()
    rows = [_row(spec, key, stored) for spec, key, stored in parts]
    for row in rows:
        readback.check(copy, row)
    result["read back"] = time.monotonic() - began
    began = time.monotonic()
    facts = engine.inspect().facts
    with tempfile.TemporaryDirectory() as workspace, engine.scratch(Path(workspace), facts) as scratch:
        scratch.prepare(overwrite=False)
        for row in rows:
            _restore(scratch, copy, row)
        scratch.finish(witness)
        found = differences(witness, scratch.witness())
    result |= {"proof": time.monotonic() - began, "differences": found, "memory with proof": peak()}


def _row(spec, key, stored) -> Part:
    return Part(
        key=key, name=spec.name, suffix=spec.suffix, stored_size=stored.stored_size,
        stored_sha256=stored.stored_sha256, plain_blake3=stored.plain_blake3,
    )  # fmt: skip


def _restore(scratch, copy, row) -> None:
    with copy.plain(row.key) as plain:
        feed(scratch.consumer(row.name, row.suffix), plain)


def feed(consumer, plain) -> None:
    """All of `plain` into what takes a part back."""
    if not isinstance(consumer, Command):
        consumer(plain)
        return
    with start(consumer, stdin=-1) as child:
        try:
            for block in consumer.input(iter(lambda: plain.read(1 << 20), b"")):
                write_all(child.stdin, block)
        except BrokenPipeError:
            if not consumer.stops_early:
                raise
        child.stdin.close()
        child.wait_good()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "also")) + "\n")
