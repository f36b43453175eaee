"""The encrypted detail file of a set: names of tables, plain digests, witnesses, options of the sources."""

import json
from collections.abc import Mapping
from typing import Any

from backups import layout
from backups.destinations.base import Destination
from backups.engines.base import PartSpec
from backups.readback import ReadableCopy
from backups.stream import BLOCK, Encoding, StoredPart, store
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


def read(copy: ReadableCopy, *, encrypted: bool) -> dict[str, Any]:
    """The content. Raises OperationFailed when it is damaged, of a newer version, or for other identities."""
    with copy.plain(layout.details_key(encrypted=encrypted)) as plain:
        pieces = list(iter(lambda: plain.read(BLOCK), b""))
    try:
        content: dict[str, Any] = json.loads(b"".join(pieces))
    except ValueError as error:
        raise OperationFailed(
            "The detail file of the set cannot be read.", "Use another copy.", permanent=True
        ) from error
    if content.get("version", 0) > VERSION:
        raise OperationFailed(
            "The set was written by a newer DR Center.",
            "Update this one, or use the set's own restore.sh.",
            permanent=True,
        )
    return content
