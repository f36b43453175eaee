"""Texts about a machine or a repository: captured once, kept as parts, restored as files of a directory.

They are for reading. What proves them is that each comes back byte for byte.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from backups.engines.base import Finding, PartSpec, Snapshot
from backups.witness import Content, Witness
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\.(txt|json)", re.ASCII)


class Texts(Snapshot):
    """{"packages.txt": bytes} of one moment."""

    position: Mapping[str, Any] = {}

    def __init__(self, texts: Mapping[str, bytes], findings: Sequence[Finding] = ()) -> None:
        self._texts, self._findings = texts, tuple(findings)

    def parts(self) -> Iterator[PartSpec]:
        yield from text_parts(self._texts)

    def witness(self) -> Witness:
        return Witness(contents=contents_of(self._texts))

    def findings(self) -> Sequence[Finding]:
        return self._findings


def text_parts(texts: Mapping[str, bytes]) -> Iterator[PartSpec]:
    """A part for each text."""
    for name, text in texts.items():
        stem, _dot, suffix = name.rpartition(".")
        yield PartSpec(stem, suffix, (partial(iter, (text,)),))


def contents_of(texts: Mapping[str, bytes]) -> dict[str, Content]:
    return {name: Content(len(text), sha256(text).hexdigest()) for name, text in texts.items()}


def read_texts(directory: Path) -> dict[str, bytes]:
    """The texts in `directory`, which `text_consumer` wrote. Raises OperationFailed when one cannot be read."""
    try:
        return {
            path.name: path.read_bytes() for path in sorted(directory.iterdir()) if NAME.fullmatch(path.name)
        }
    except OSError as error:
        raise OperationFailed(f"{directory} cannot be read: {error.strerror}.") from None


def write_text(directory: Path, name: str, stream: BinaryIO) -> None:
    """Write the plain bytes of a part into a new file. Raises OperationFailed, also for a name that is none."""
    if not NAME.fullmatch(name):
        raise OperationFailed(f"{name!r} is not the name of a text of this engine.", permanent=True)
    try:
        number = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "wb") as file:
            while block := stream.read(BLOCK):
                file.write(block)
    except OSError as error:
        raise OperationFailed(f"{directory / name} cannot be written: {error.strerror}.") from None


def make_empty(directory: Path) -> bool:
    """Make `directory` ready; True if it was created. Raises OperationFailed when something is in it."""
    created = not os.path.lexists(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(directory.iterdir())
    except OSError as error:
        raise OperationFailed(f"{directory} cannot be made ready: {error.strerror}.") from None
    if occupied:
        raise OperationFailed(
            f"{directory} is not empty.", "Choose another name, or empty it first.", permanent=True
        )
    return created
