"""What the engines for the metadata of a database share: no rows, and a text of statistics that is only read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, BinaryIO

from backups.engines.base import Consumer, Engine, PartSpec
from backups.witness import Content

STATISTICS = ("statistics", "json")
# About what the definition of a table takes in a dump.
BYTES_A_TABLE = 4096
FOR_READING = "It holds the schema without any row: over production it would empty the database. It is read, or restored beside."
BLOCK = 1 << 16


def statistics_text(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A row for each table, in JSON."""
    return (json.dumps({"tables": [dict(row) for row in rows]}, indent=1, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else str(value)


def statistics_part(text: bytes) -> PartSpec:
    return PartSpec(*STATISTICS, (partial(iter, (text,)),))


def content_of(text: bytes) -> dict[str, Content]:
    return {".".join(STATISTICS): Content(len(text), sha256(text).hexdigest())}


class Seen:
    """The text of statistics on its way back: a database has no place for it, so its digest is what is compared."""

    def __init__(self) -> None:
        self.contents: dict[str, Content] = {}

    def consume(self, stream: BinaryIO) -> None:
        size, digest = 0, sha256()
        for block in _blocks(stream):
            size += len(block)
            digest.update(block)
        self.contents = {".".join(STATISTICS): Content(size, digest.hexdigest())}


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


class SchemaOnly(Engine):
    """Stands before the engine of the database itself, whose place, rights and checks it keeps."""

    # It is no database whose rows could be taken by table.
    by_table = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._seen = Seen()

    @property
    def target(self) -> str:
        return f"schema and statistics of {super().target}"  # type: ignore[safe-super]

    @property
    def for_reading(self) -> str:
        return FOR_READING

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) == STATISTICS:
            return self._seen.consume
        return super().consumer(part, suffix)  # type: ignore[safe-super]
