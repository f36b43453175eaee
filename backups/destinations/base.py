"""What every destination promises: what was put comes back byte for byte, or was never there."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO, ClassVar, Protocol

from django import forms

from drcenter.errors import OperationFailed
from drcenter.options import with_defaults


class Reader(Protocol):
    """A stream of bytes: `read(n)` gives 1 to n bytes, or b"" at the end, or raises: then nothing is published."""

    def read(self, size: int = -1, /) -> bytes: ...


class Role(StrEnum):
    """What a destination is opened for. Each role may have credentials of its own, with no more rights than it needs.

    The writer also reads back what it wrote; it needs no right to delete. Reading is for rebuild, verification and
    restore; pruning for what removes.
    """

    WRITE = "write"
    PRUNE = "prune"
    READ = "read"


class NotThere(OperationFailed):
    """The object does not exist."""


@dataclass(frozen=True)
class Stored:
    """An object as the store has it. `checksum` is the store's own ("sha256:…", "etag:…") where it has one."""

    key: str
    size: int
    checksum: str = ""
    modified: datetime | None = None
    version: str = ""
    locked_until: datetime | None = None
    lock_mode: str = ""


@dataclass(frozen=True)
class Space:
    """Bytes in all and free; both None where a store has no limit that it tells."""

    total: int | None = None
    free: int | None = None


class Destination(ABC):
    """A place that keeps objects under keys (`a/b/c`). Instances are used by one thread at a time for `put`."""

    label: str
    Options: type[forms.Form]
    # The options that hold credentials: `_roles.split` adds those of the other roles to the form.
    credentials: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = with_defaults(self.Options, options)

    @property
    @abstractmethod
    def target(self) -> str:
        """Where it is, in one line that an operator recognises. No secret."""

    def prepare(self) -> None:
        """Make the place ready: called when an operator creates or changes the destination, never before a run.

        A disk that is not mounted looks like a new, empty place; only a person knows which it is.
        Default: nothing. Raises OperationFailed with a hint.
        """
        return

    @abstractmethod
    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        """Store everything `stream` yields under `key`, in constant memory.

        `expected_size` is an estimate and only chooses sizes of transfer parts. When the stream raises, or the
        store fails, nothing appears under `key`, nothing half is left, and the exception passes on.
        """

    def replay(self, key: str, stream: Reader, *, expected_size: int) -> Stored:
        """As `put`, of bytes that can be given again from their first one, and are `expected_size` in all.

        When it fails in a way that may pass, what was transferred stays where the store can keep it: called again
        with the same bytes it goes on from there. `abort` removes it. Default: it begins anew.
        """
        return self.put(key, stream, expected_size=expected_size)

    def put_in_parts(self, key: str, stream: Reader) -> Stored:
        """As `put`, but in parts as soon as the store takes them: the connection test wants to see that, too."""
        return self.put(key, stream)

    @abstractmethod
    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """A stream of the bytes from `start`, in constant memory. Raises NotThere."""

    @abstractmethod
    def head(self, key: str) -> Stored:
        """Size and checksum without reading. Raises NotThere."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Stored]:
        """Everything whose key starts with `prefix`, in the order of keys."""

    def list_versions(self, prefix: str) -> Iterator[Stored]:
        """As `list`, with old versions and what hides behind delete markers, where the store keeps versions."""
        return self.list(prefix)

    def open_version(self, key: str, version: str) -> BinaryIO:
        """As `open`, of one version: also of one that hides behind a delete marker. Raises NotThere."""
        return self.open(key)

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove it; no error when it is not there."""

    def delete_version(self, key: str, version: str) -> None:
        """Remove one version, as `list_versions` names it, so that nothing of it is left behind a delete marker.

        No error when it is not there. Raises OperationFailed when it is locked.
        """
        self.delete(key)

    def lock(self, key: str, until: datetime) -> Stored:
        """Forbid deletion until then, or for as long as it is forbidden already; what the store says of it afterwards.

        Raises OperationFailed where the store cannot, or does not hold to it.
        """
        raise OperationFailed(f"{self.label} cannot lock objects.", permanent=True)

    def abort(self, prefix: str | None = None) -> None:
        """Clean up what an interrupted `put` of this instance left behind. Default: nothing is left.

        With `prefix`, also what others left below it, such as a worker that was killed. Name only keys
        that nobody writes any more: the directory of an attempt that is over.
        """
        return

    def unfinished(self, prefix: str) -> Iterator[Stored]:
        """What interrupted `put`s left below `prefix`, which `list` does not show. Default: nothing is left."""
        return iter(())

    def space(self) -> Space:
        return Space()
