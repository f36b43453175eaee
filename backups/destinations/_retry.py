"""Trying again where that makes sense: after errors that are not permanent, a bounded number of times."""

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, TypeVar

from backups.destinations.base import Destination, Reader, Space, Stored
from drcenter.errors import OperationFailed

Result = TypeVar("Result")

# Seconds before each further try; about 30 in all. A dump that waits longer loses its connection:
# MariaDB gives up on a client that has not read for 60 s.
PAUSES: tuple[float, ...] = (0.5, 1, 2, 4, 8, 15)


def is_transient(error: OperationFailed) -> bool:
    return not error.permanent


def retried(act: Callable[[], Result], again: Callable[[OperationFailed], bool] = is_transient) -> Result:
    """What `act` returns. While it fails and `again` says so, try once more after each of PAUSES.

    Raises the last OperationFailed. Pauses vary by a quarter, so that many workers do not come at once.
    """
    for pause in PAUSES:
        try:
            return act()
        except OperationFailed as error:
            if not again(error):
                raise
        time.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, protects nothing
    return act()


class Retrying(Destination):
    """A destination whose open, list, head, delete and lock try again. `put` cannot: its stream is used up."""

    def __init__(self, inner: Destination) -> None:
        self.inner = inner
        self.label = inner.label
        self.Options = inner.Options
        self.options = inner.options

    @property
    def target(self) -> str:
        return self.inner.target

    def prepare(self) -> None:
        self.inner.prepare()

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        return self.inner.put(key, stream, expected_size=expected_size)

    def replay(self, key: str, stream: Reader, *, expected_size: int) -> Stored:
        return self.inner.replay(key, stream, expected_size=expected_size)

    def put_in_parts(self, key: str, stream: Reader) -> Stored:
        return self.inner.put_in_parts(key, stream)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return retried(lambda: self.inner.open(key, start, length))

    def head(self, key: str) -> Stored:
        return retried(lambda: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[Stored]:
        return _resumed(lambda: self.inner.list(prefix))

    def list_versions(self, prefix: str) -> Iterator[Stored]:
        return _resumed(lambda: self.inner.list_versions(prefix))

    def open_version(self, key: str, version: str) -> BinaryIO:
        return retried(lambda: self.inner.open_version(key, version))

    def delete(self, key: str) -> None:
        retried(lambda: self.inner.delete(key))

    def delete_version(self, key: str, version: str) -> None:
        retried(lambda: self.inner.delete_version(key, version))

    def lock(self, key: str, until: datetime) -> Stored:
        return retried(lambda: self.inner.lock(key, until))

    def abort(self, prefix: str | None = None) -> None:
        retried(lambda: self.inner.abort(prefix))

    def unfinished(self, prefix: str) -> Iterator[Stored]:
        return iter(retried(lambda: [*self.inner.unfinished(prefix)]))

    def space(self) -> Space:
        return retried(self.inner.space)


def _resumed(start: Callable[[], Iterator[Stored]]) -> Iterator[Stored]:
    """A listing that goes on after an error where it stood: keys come in order, so those before are skipped."""
    last = ""
    given: set[str] = set()  # The versions of the key `last` that were given.
    entries = start()

    def following() -> Stored | None:
        nonlocal entries
        try:
            return next(entries, None)
        except OperationFailed:
            entries = start()
            raise

    while (entry := retried(following)) is not None:
        key = entry.key
        if key.encode() < last.encode() or (key == last and entry.version in given):
            continue
        given = given if key == last else set()
        given.add(entry.version)
        last = key
        yield entry
