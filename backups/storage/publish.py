"""Writes what makes stored parts a set: details, guide, script, log, checksums, signature, and last the manifest."""

import hashlib
import io
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backups.destinations.base import Destination
from backups.guides import guide, restore_script
from backups.models import Level, Plan, Set, Verification
from backups.pipe.stream import BLOCK, Encoding
from backups.storage import details, layout, signing
from backups.storage.checksums import checksums_text
from backups.storage.layout import Manifest, ManifestPart, Predecessor, StoredObject
from backups.takes.taking import Taking
from drcenter.errors import OperationFailed
from drcenter.systems.models import System


def signing_key() -> signing.SigningKey:
    """The key that signs this installation's sets; made at first use."""
    return signing.load_or_create(Path(settings.STATE_DIR) / "signing_key.pem")


def publish(taking: Taking) -> None:
    """Write everything but the parts. Raises OperationFailed without a manifest if the attempt was taken over."""
    key = signing_key()
    _take_number(taking)
    manifest = _manifest(taking, _write_details(taking), key)
    objects = {
        layout.SCRIPT: restore_script.script(manifest).encode(),
        layout.GUIDE: guide.text(manifest, _known(taking)).encode(),
        layout.LOG: _log(taking, encrypted=taking.set.encrypted).encode(),
    }
    for name, content in objects.items():
        _put(taking.destination, taking.set.prefix + name, content)
    digests = {part.key: part.stored_sha256 for part in taking.parts}
    digests |= {name: hashlib.sha256(content).hexdigest() for name, content in objects.items()}
    digests |= {
        manifest.details.key: manifest.details.sha256,
        layout.MANIFEST: hashlib.sha256(manifest.to_bytes()).hexdigest(),
    }
    checksums = checksums_text(digests).encode()
    taking.checksums_sha256 = hashlib.sha256(checksums).hexdigest()
    _put(taking.destination, taking.set.prefix + layout.CHECKSUMS, checksums)
    _put(taking.destination, taking.set.prefix + layout.SIGNATURE, key.sign(checksums))
    _publish_manifest(taking, manifest)


def _take_number(taking: Taking) -> None:
    """The next number of the system: of this attempt alone, also if it fails. Raises OperationFailed if it was
    taken over."""
    with transaction.atomic():
        System.objects.select_for_update().get(pk=taking.set.system_id)
        number = Set.objects.filter(system=taking.set.system_id).newest_number() + 1
        if not taking.mine().update(number=number):
            raise OperationFailed("Another attempt has taken this set over.", permanent=True)
    taking.set.number = number


def _predecessor(one: Set) -> Predecessor | None:
    """The newest complete set of the system, as it was published."""
    before = Set.objects.complete().filter(system=one.system_id, number__lt=one.number or 0)
    newest = before.exclude(checksums_sha256="").order_by("-number").first()
    return Predecessor(newest.identifier, newest.checksums_sha256) if newest else None


def _publish_manifest(taking: Taking, manifest: Manifest) -> None:
    """The last object. It goes again when the attempt was taken over while it was being written."""
    _require_mine(taking)
    key = taking.set.prefix + layout.MANIFEST
    _put(taking.destination, key, manifest.to_bytes())
    taking.manifest = manifest
    try:
        _require_mine(taking)
    except BaseException:
        with suppress(OperationFailed):
            taking.destination.delete(key)
        raise


def _require_mine(taking: Taking) -> None:
    if not taking.mine().exists():
        raise OperationFailed(
            "Another attempt has taken this set over; this one writes no manifest.", permanent=True
        )


def _write_details(taking: Taking) -> StoredObject:
    encoding = Encoding(taking.encryption, children=taking.context.children)
    content = taking.details | {"log": _log(taking, encrypted=False)}
    name, stored = details.write(taking.destination, taking.set.prefix, content, encoding)
    return StoredObject(name, stored.stored_size, stored.stored_sha256)


def _known(taking: Taking) -> guide.Known:
    """What the guide says besides the manifest: places only where everything else is in the clear, too."""
    plan, open_places = taking.plan, {}
    if not taking.set.encrypted:
        open_places = {name: str(source["place"]) for name, source in taking.sources.items()}
    names = plan.destinations.filter(enabled=True).order_by("name").values_list("name", flat=True)
    return guide.Known(open_places, tuple(names), last_proof(plan))


def last_proof(plan: Plan, **before: Any) -> tuple[float, int] | None:
    """Seconds of the restores of the newest proof of the plan (among those that fit `before`), and the size of its set."""
    proofs = Verification.objects.filter(copy__set__plan=plan, reached=Level.PROVEN, **before)
    newest = proofs.select_related("copy__set").order_by("-id").first()
    if newest is None:
        return None
    seconds = sum(float(facts.get("restore_seconds", 0)) for facts in newest.facts.values())
    return seconds, newest.copy.set.plain_size


def _manifest(taking: Taking, written: StoredObject, key: signing.SigningKey) -> Manifest:
    one = taking.set
    return Manifest(
        system=one.system.slug, system_name=one.system.name, identifier=one.identifier, attempt=one.attempt,
        plan=taking.plan.name, reason=one.reason, started_at=one.started_at or timezone.now(),
        moment=taking.moment or timezone.now(), finished_at=timezone.now(), product=f"drcenter {version('drcenter')}",
        details=written, parts=tuple(_manifest_part(part) for part in taking.parts),
        recipients=tuple(taking.recipients), capped=taking.capped, signing_key=key.fingerprint,
        tools=_tools(taking), number=one.number or 0, predecessor=_predecessor(one),
        time_zone=one.system.time_zone, partial=taking.in_clear,
        spread=taking.spread,
    )  # fmt: skip


def _manifest_part(part: object) -> ManifestPart:
    names = ("order", "name", "key", "engine", "tier", "suffix", "plain_size", "stored_size", "stored_sha256")
    return ManifestPart(source=part.source_name, **{name: getattr(part, name) for name in names})  # type: ignore[attr-defined]


def _tools(taking: Taking) -> dict[str, str]:
    """Versions by which a set can be found again when a tool turns out to be faulty."""
    found = {"zstandard": version("zstandard"), "pyrage": version("pyrage")}
    for name, source in taking.sources.items():
        for fact in ("version", "client", "tool"):
            if fact in source["facts"]:
                found[f"{name}.{fact}"] = str(source["facts"][fact])
    return found


def _log(taking: Taking, *, encrypted: bool) -> str:
    """What the taking logged, not what else its job did: before a restore that is the system's commands, and what
    they say. In an encrypted set what was found (names of tables, files) stands in the details only."""
    lines = [line for line in taking.logged if line.level == "info" or not encrypted]
    return "".join(f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.level} {line.text}\n" for line in lines)


def _put(destination: Destination, key: str, content: bytes) -> None:
    """Store a small object and read it back."""
    destination.put(key, io.BytesIO(content), expected_size=len(content))
    source = destination.open(key)
    try:
        found = b"".join(iter(lambda: source.read(BLOCK), b""))
    finally:
        source.close()
    if found != content:
        raise OperationFailed(f"{key} does not come back from the destination as it was stored.")
