"""Checks what stands beside the parts of a set: without manifest and details the parts are only bytes."""

import hashlib

from backups import layout, publish, signing
from backups.decode import BLOCK, Damaged
from backups.destinations.base import NotThere
from backups.layout import Manifest
from backups.readback import ReadableCopy
from drcenter.errors import OperationFailed


def check_there(copy: ReadableCopy, *, encrypted: bool) -> None:
    """Raises Damaged, which names what is missing. Reads nothing."""
    details = layout.details_key(encrypted=encrypted)
    names = (
        layout.MANIFEST, layout.CHECKSUMS, layout.SIGNATURE, layout.SCRIPT, layout.GUIDE, layout.LOG, details,
    )  # fmt: skip
    for name in names:
        try:
            copy.destination.head(copy.prefix + name)
        except NotThere:
            raise Damaged(f"{name} is missing: without it this copy is no complete set.") from None


def check_digests(copy: ReadableCopy) -> None:
    """Raises Damaged unless everything beside the parts has its digest and, where it is ours, its signature."""
    checksums = copy.content(layout.CHECKSUMS)
    digests = _parsed(checksums)
    for name, digest in digests.items():
        if not name.startswith("parts/") and _digest(copy, name) != digest:
            raise Damaged(f"{name}: its digest is not the one in {layout.CHECKSUMS}.")
    manifest = _manifest(copy)
    if wrong := [part.key for part in manifest.parts if digests.get(part.key) != part.stored_sha256]:
        raise Damaged(f"{layout.MANIFEST} and {layout.CHECKSUMS} say different things of {wrong[0]}.")
    key = publish.signing_key()
    signature = copy.content(layout.SIGNATURE)
    if manifest.signing_key == key.fingerprint and not signing.verify(key.public_pem, checksums, signature):
        raise Damaged(f"{layout.SIGNATURE} is not the signature of {layout.CHECKSUMS}.")


def _parsed(checksums: bytes) -> dict[str, str]:
    try:
        return layout.parse_checksums(checksums.decode())
    except (OperationFailed, UnicodeDecodeError) as error:
        raise Damaged(f"{layout.CHECKSUMS} cannot be read: {error}") from error


def _manifest(copy: ReadableCopy) -> Manifest:
    try:
        return Manifest.from_bytes(copy.content(layout.MANIFEST))
    except OperationFailed as error:
        raise Damaged(f"{layout.MANIFEST}: {error.message}") from error


def _digest(copy: ReadableCopy, name: str) -> str:
    digest = hashlib.sha256()
    with copy.stored(name) as source:
        while block := source.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
