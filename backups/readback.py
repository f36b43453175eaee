"""Reads a stored part back: download, digest, decrypt, decompress, digest."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import pyrage

from backups.destinations.base import Destination, Reader
from backups.stream import BLOCK, DAMAGE_HINT, Decoder, opened
from drcenter.errors import OperationFailed


class Known(Protocol):
    """What a part is known to be: a row, or a line of a manifest."""

    @property
    def key(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def stored_size(self) -> int: ...
    @property
    def stored_sha256(self) -> str: ...
    @property
    def plain_sha256(self) -> str: ...


@dataclass(frozen=True)
class ReadableCopy:
    """A copy and what opens it: where it is, the folder of the set, and identities (none: not encrypted)."""

    destination: Destination
    prefix: str
    identities: Sequence[pyrage.x25519.Identity] = ()

    @contextmanager
    def stored(self, name: str) -> Iterator[BinaryIO]:
        """The stored bytes of the object `name` of the set."""
        source = self.destination.open(self.prefix + name)
        try:
            yield source
        finally:
            source.close()

    @contextmanager
    def plain(self, name: str, advance: Callable[[int], None] = lambda count: None) -> Iterator[Decoder]:
        """The plain bytes of the object `name` of the set."""
        with self.stored(name) as source, opened(source, self.identities, advance=advance) as plain:
            yield plain


class Damaged(OperationFailed):
    """The copy is not what was stored."""


def check(copy: ReadableCopy, part: Known, advance: Callable[[int], None] = lambda count: None) -> None:
    """Raises Damaged, with the key and what is wrong, unless the part comes back as it was stored.

    A tar is also listed to its end. The plain digest is compared where it is known (not "").
    """
    try:
        with copy.plain(part.key, advance) as plain:
            _read(plain, part)
            plain.finish()
    except OperationFailed as error:
        if error.hint == DAMAGE_HINT:
            raise Damaged(f"{part.key}: {error.message}", DAMAGE_HINT, permanent=True) from error
        raise
    _compare(part.key, "stored size", part.stored_size, plain.stored_size)
    _compare(part.key, "digest of the stored bytes", part.stored_sha256, plain.stored_sha256)
    if part.plain_sha256:
        _compare(part.key, "digest of the plain bytes", part.plain_sha256, plain.plain_sha256)


def check_stored(copy: ReadableCopy, part: Known) -> None:
    """Raises Damaged unless the store lists the object with the size it had. Reads nothing."""
    _compare(part.key, "stored size", part.stored_size, copy.destination.head(copy.prefix + part.key).size)


def check_digest(
    copy: ReadableCopy, part: Known, advance: Callable[[int], None] = lambda count: None
) -> None:
    """Raises Damaged unless the stored bytes have their digest: what can be said without an identity."""
    digest, size = hashlib.sha256(), 0
    with copy.stored(part.key) as source:
        while block := source.read(BLOCK):
            digest.update(block)
            size += len(block)
            advance(len(block))
    _compare(part.key, "stored size", part.stored_size, size)
    _compare(part.key, "digest of the stored bytes", part.stored_sha256, digest.hexdigest())


def _read(plain: Reader, part: Known) -> None:
    if part.suffix != "tar":
        return
    try:
        with tarfile.open(fileobj=_Whole(plain), mode="r|", bufsize=BLOCK) as archive:  # type: ignore[call-overload]
            for member in archive:
                archive.members = []  # type: ignore[attr-defined] # the list of a large tree would fill the memory
                del member
    except tarfile.TarError as error:
        raise Damaged(
            f"{part.key}: the archive cannot be listed: {error}.", DAMAGE_HINT, permanent=True
        ) from error


class _Whole:
    """A reader that gives as much as was asked for, as tarfile expects of a file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, size: int) -> bytes:
        pieces, missing = [], size
        while missing > 0 and (piece := self._reader.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def _compare(key: str, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise Damaged(f"{key}: the {what} is {found}, it was {expected}.", DAMAGE_HINT, permanent=True)
