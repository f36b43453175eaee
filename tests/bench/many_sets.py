"""Ten thousand sets in a directory: one real set, and copies of it that are signed anew under names of their own."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


@contextmanager
def own_database(directory: Path) -> Iterator[None]:
    """A catalogue of its own for the time being."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    before, state = connections["default"].settings_dict["NAME"], settings.STATE_DIR
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = str(directory / "catalogue.sqlite3")
    settings.STATE_DIR = directory
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections["default"].close()
        connections["default"].settings_dict["NAME"], settings.STATE_DIR = before, state


def one_set(place: Path, source: Path) -> Any:
    """A real, encrypted, proven set; its row, and the identity that reads it."""
    import pyrage

    from backups.models import Destination, Plan, RecoveryKey, Set, Source
    from backups.takes import take
    from drcenter.jobs.work import run_job
    from drcenter.systems.models import System

    identity = pyrage.x25519.Identity.generate()
    RecoveryKey.objects.create(name="bench", recipient=str(identity.to_public()))
    system = System.objects.create(slug="bench", name="Bench")
    destination = Destination.objects.create(name="bench", kind="local", options={"path": str(place)})
    destination.build().prepare()
    source.mkdir()
    for number in range(20):
        (source / f"{number}.txt").write_text(str(number) * 100)
    files = Source.objects.create(
        system=system, name="files", engine="files", tier="storage", options={"path": str(source)}
    )
    plan = Plan.objects.create(system=system, name="daily")
    plan.sources.add(files)
    plan.destinations.add(destination)
    wanted = take.request(plan, requested_by="bench")
    run_job(wanted.job_id)
    taken = Set.objects.get(pk=wanted.pk)
    if taken.level != "proven":
        raise RuntimeError(f"{taken}: {taken.state} {taken.message} {taken.level_reason}")
    return taken, str(identity)


def multiply(place: Path, taken: Any, count: int) -> None:
    """`count` sets in all; each has parts, details, records and a signature of its own."""
    from backups.storage import layout, publish
    from backups.storage.checksums import checksums_text, parse_checksums

    key, template = publish.signing_key(), place / taken.prefix
    manifest = json.loads((template / layout.MANIFEST).read_text())
    digests = parse_checksums((template / layout.CHECKSUMS).read_text())
    for number in range(1, count):
        began = BEGAN + timedelta(hours=number)
        identifier = str(layout.Identifier(began, f"{number:08x}", 1))
        folder = template.parent / identifier
        shutil.copytree(template, folder, copy_function=os.link)
        told = manifest | {"set": identifier, "number": number + 1}
        told.pop("predecessor", None)
        for name in ("started_at", "moment", "finished_at"):
            told[name] = began.isoformat().replace("+00:00", "Z")
        content = layout.Manifest.from_bytes(json.dumps(told).encode()).to_bytes()
        sums = checksums_text(digests | {layout.MANIFEST: hashlib.sha256(content).hexdigest()}).encode()
        for name, data in (
            (layout.MANIFEST, content), (layout.CHECKSUMS, sums), (layout.SIGNATURE, key.sign(sums)),
        ):  # fmt: skip
            (folder / name).unlink()
            (folder / name).write_bytes(data)
        _sign_records(folder / "records", identifier, key)


def _sign_records(folder: Path, identifier: str, key: Any) -> None:
    import base64

    for path in folder.iterdir():
        body = json.dumps(
            json.loads(json.loads(path.read_text())["body"]) | {"set": identifier}, sort_keys=True
        )
        path.unlink()
        signature = base64.b64encode(key.sign(body.encode())).decode()
        path.write_text(json.dumps({"body": body, "signature": signature}))


def rebuild(place: Path, identity: str, pem: str) -> tuple[float, Any]:
    """Seconds, and the row of the rebuild."""
    from backups import rebuild as act
    from backups.models import Destination
    from drcenter.jobs.work import run_job
    from drcenter.secrets import Secret

    row = Destination.objects.create(name="bench", kind="local", options={"path": str(place)})
    began = time.monotonic()
    wanted = act.request(row, requested_by="bench", identity=Secret(identity), signing_keys=pem)
    run_job(wanted.job_id)
    wanted.refresh_from_db()
    return time.monotonic() - began, wanted
