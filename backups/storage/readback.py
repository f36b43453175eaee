"""Reads a stored part back: download, digest, decrypt, decompress, digest."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyrage

from backups.destinations.base import Destination, NotThere, Reader
from backups.pipe.decode import BLOCK, DAMAGE_HINT, Damaged, Decoder, WrongIdentity, opened
from backups.storage.layout import LARGEST_MANIFEST
from backups.storage.references import located
from drcenter.errors import OperationFailed

__all__ = ["BLOCK", "DAMAGE_HINT", "Damaged", "Known", "ReadableCopy", "Unreadable", "check"]


class Unreadable(OperationFailed):
    """The destination did not give the bytes: nothing is known of them. Trying again may help."""


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
    def plain_blake3(self) -> str: ...


@dataclass(frozen=True)
class ReadableCopy:
    """A copy and what opens it: where it is, the folder of the set, and identities (none: not encrypted)."""

    destination: Destination
    prefix: str
    identities: Sequence[pyrage.x25519.Identity] = ()

    @contextmanager
    def stored(self, name: str) -> Iterator[Reader]:
        """The stored bytes of the object `name` of the set. Reading raises Unreadable, opening also NotThere."""
        try:
            source = self.destination.open(located(self.prefix, name))
        except NotThere:
            raise
        except OperationFailed as error:
            raise Unreadable(error.message, error.hint, permanent=error.permanent) from error
        try:
            yield _Explained(source, name, self.destination.target)
        finally:
            source.close()

    def content(self, name: str) -> bytes:
        """A small object, whole. Raises NotThere, Unreadable; Damaged when it is no small object."""
        with self.stored(name) as source:
            pieces, size = [], 0
            while block := source.read(BLOCK):
                pieces.append(block)
                size += len(block)
                if size > LARGEST_MANIFEST:
                    raise Damaged(f"{name}: it is larger than such an object can be.")
        return b"".join(pieces)

    @contextmanager
    def plain(self, name: str, advance: Callable[[int], None] = lambda count: None) -> Iterator[Decoder]:
        """The plain bytes of the object `name` of the set."""
        with self.stored(name) as source, opened(source, self.identities, advance=advance) as plain:
            yield plain


class _Explained:
    """A reader whose errors name the object and the place."""

    def __init__(self, source: Reader, name: str, target: str) -> None:
        self._source, self._name, self._target = source, name, target

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._source.read(size)
        except OperationFailed as error:
            raise Unreadable(error.message, error.hint, permanent=error.permanent) from error
        except OSError as error:
            raise Unreadable(
                f"{self._name} cannot be read from {self._target}: {error.strerror or error}.",
                "Look at the destination: its disk, its mount, its network.",
            ) from error


def check(copy: ReadableCopy, part: Known, advance: Callable[[int], None] = lambda count: None) -> None:
    """Raises Damaged, with the key and what is wrong, unless the part comes back as it was stored.

    A tar is also listed to its end. The plain digest is compared where it is known (not "").
    """
    try:
        with copy.plain(part.key, advance) as plain:
            _read(plain, part)
            plain.finish()
    except Damaged as error:
        raise Damaged(f"{part.key}: {error.message}") from error
    except WrongIdentity:
        # One bit of the header changed looks the same: the digest tells which it is.
        check_digest(copy, part)
        raise
    _compare(part.key, "stored size", part.stored_size, plain.stored_size)
    _compare(part.key, "digest of the stored bytes", part.stored_sha256, plain.stored_sha256)
    if part.plain_blake3:
        _compare(part.key, "digest of the plain bytes", part.plain_blake3, plain.plain_blake3)


def check_stored(copy: ReadableCopy, part: Known) -> None:
    """Raises Damaged unless the store lists the object with the size it had. Reads nothing."""
    try:
        found = copy.destination.head(located(copy.prefix, part.key))
    except NotThere:
        raise Damaged(f"{part.key} is missing.") from None
    _compare(part.key, "stored size", part.stored_size, found.size)


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
        with tarfile.open(fileobj=_Whole(plain), mode="r|", bufsize=BLOCK, tarinfo=_Strict) as archive:  # type: ignore[call-overload]
            for _member in archive:
                archive.members = []  # type: ignore[attr-defined] # the list of a large tree would fill the memory
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise Damaged(f"The archive cannot be listed: {error}.") from error


class _Strict(tarfile.TarInfo):
    """A header; tarfile by itself takes a damaged or a missing one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Strict":
        try:
            return super().frombuf(buf, encoding, errors)  # type: ignore[return-value]
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"a header is damaged or missing ({error})") from error


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
        raise Damaged(f"{key}: the {what} is {found}, it was {expected}.")
