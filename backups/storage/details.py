"""The encrypted detail file of a set: names of tables, plain digests, witnesses, options of the sources."""

import json
from collections.abc import Mapping
from typing import Any

from backups.destinations.base import Destination
from backups.engines.base import PartSpec
from backups.pipe.decode import Damaged
from backups.pipe.stream import BLOCK, Encoding, StoredPart, store
from backups.storage import layout
from backups.storage.readback import ReadableCopy
from backups.storage.references import refer
from drcenter.errors import OperationFailed

VERSION = 1


def write(
    destination: Destination, prefix: str, content: Mapping[str, Any], encoding: Encoding
) -> tuple[str, StoredPart]:
    """Store the file like a part; returns its key and what is known of it."""
    key = layout.details_key(encrypted=bool(encoding.recipients))
    text = json.dumps(content, ensure_ascii=True, sort_keys=True).encode()
    spec = PartSpec("details", "json", (lambda: iter([text]),))
    return key, store(spec, lambda stream: destination.put(prefix + key, stream), encoding)


def read(copy: ReadableCopy, *, encrypted: bool, stored_sha256: str, of: str = "") -> dict[str, Any]:
    """The content. Raises OperationFailed when it is damaged, of a newer version, or for other identities.

    `stored_sha256` comes from `companions.check_digests`, or from details that were checked so: anybody can encrypt
    to public keys. `of`: the identifier of an earlier set that the copy's set needs.
    """
    key = layout.details_key(encrypted=encrypted)
    key = refer(of, key) if of else key
    try:
        with copy.plain(key) as plain:
            pieces = list(iter(lambda: plain.read(BLOCK), b""))
            plain.finish()
        if plain.stored_sha256 != stored_sha256:
            raise Damaged("the digest of the stored bytes is not the one that was published.")
        content = json.loads(b"".join(pieces))
    except (Damaged, ValueError) as error:
        raise Damaged(f"{key}: the details of the set cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise Damaged(f"{key}: these are no details of a set.")
    if content.get("version", 0) > VERSION:
        raise OperationFailed(
            "The set was written by a newer DR Center.",
            "Update this one, or use the set's own restore.sh.",
            permanent=True,
        )
    return content
