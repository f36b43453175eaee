"""Increments and restores of chains as one measured process; the worker's imports are not measured.

What is measured of an increment is all of it: index read, walk, comparison, tar, digests, compression, encryption,
storing, the details (with the witness of what changed), and the index for the next one.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")

import django

django.setup()

import pyrage

from backups import destinations, engines
from backups.pipe.stream import Encoding, store
from backups.storage import details, readback
from tests.bench.ours import _restore, _row, peak, used


def take(options: dict) -> dict:
    """Store the tree, or what changed since the set of the index; keep index and parts for the next runs."""
    place = destinations.build("local", {"path": options["destination"]})
    place.prepare()
    identity = _identity(options)
    recipients = [identity.to_public(), pyrage.x25519.Identity.generate().to_public()]
    encoding, index = Encoding(recipients, 2), Path(options["index"])
    engine, parts = engines.build("files", {"path": options["path"]}), []
    wall, cpu = time.monotonic(), used()
    opened = engine.since(index.read_bytes(), 0.5) if options["since"] else engine.snapshot()
    with opened as snapshot:
        for spec in snapshot.parts():
            key = f"{options['prefix']}{len(parts)}-{spec.name}"
            parts.append((spec, key, store(spec, lambda stream, key=key: place.put(key, stream), encoding)))
        content = {"witness": snapshot.witness().as_json(), "removed": list(snapshot.removed or [])}
        details.write(place, options["prefix"], content, encoding)
        index.write_bytes(snapshot.index())
    result = {"wall": time.monotonic() - wall, "cpu": used() - cpu, "memory": peak()}
    return result | {"parts": [_known(*one) for one in parts]}


def _known(spec, key, stored) -> dict:
    names = ("stored_size", "stored_sha256", "plain_blake3")
    return {"name": spec.name, "suffix": spec.suffix, "key": key} | {
        name: getattr(stored, name) for name in names
    }


def restore(options: dict) -> dict:
    """Restore these parts, in order, into a directory that is not there."""
    place = destinations.build("local", {"path": options["destination"]})
    target = engines.build("files", {"path": options["path"]})
    copy = readback.ReadableCopy(place, "", [_identity(options)])
    wall, cpu = time.monotonic(), used()
    target.prepare(overwrite=False)
    for part in options["parts"]:
        _restore(target, copy, _part(part))
    return {"wall": time.monotonic() - wall, "cpu": used() - cpu, "memory": peak()}


def _part(known: dict):
    class Spec:
        name, suffix = known["name"], known["suffix"]

    class Stored:
        stored_size, stored_sha256 = known["stored_size"], known["stored_sha256"]
        plain_blake3 = known["plain_blake3"]

    return _row(Spec, known["key"], Stored)


def _identity(options: dict) -> pyrage.x25519.Identity:
    path = Path(options["identity"])
    if not path.exists():
        path.write_text(str(pyrage.x25519.Identity.generate()))
    return pyrage.x25519.Identity.from_str(path.read_text())


if __name__ == "__main__":
    chosen = {"take": take, "restore": restore}[sys.argv[1]]
    sys.stdout.write(json.dumps(chosen(json.loads(sys.stdin.read()))) + "\n")
