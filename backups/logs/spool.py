"""Where segments wait on this machine until they are at their destinations, as the bytes that will be stored.

A file of the spool is whole or not there. What it holds of an encrypted stream, this machine cannot read.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyrage
from blake3 import blake3

from backups.destinations.base import Reader, Stored
from backups.engines.base import PartSpec
from backups.pipe.stream import BLOCK, Encoding, StoredPart, store
from drcenter.errors import OperationFailed

UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Stretch:
    """The bytes `begin` to `end` of a file, which has to have them."""

    path: Path
    begin: int
    end: int

    def blocks(self) -> Iterator[bytes]:
        """Raises OperationFailed when the file became shorter."""
        with self.path.open("rb") as file:
            file.seek(self.begin)
            left = self.end - self.begin
            while left:
                block = file.read(min(BLOCK, left))
                if not block:
                    raise OperationFailed(f"{self.path.name} became shorter while it was read.")
                left -= len(block)
                yield block

    def blake3(self) -> str:
        digest = blake3()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


class Spool:
    """The files of one stream, by the names of their numbers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, number: int) -> Path:
        return self.directory / f"{number:012}"

    def add(self, number: int, stretch: "Stretch", keys: Sequence[str], level: int) -> StoredPart:
        """Compress and encrypt it. Raises OperationFailed, and leaves nothing."""
        spec = PartSpec("log", "binlog", (stretch.blocks,))
        recipients = [pyrage.x25519.Recipient.from_str(key) for key in keys]
        path = self.path(number)
        unfinished = path.with_name(path.name + UNFINISHED)
        try:
            stored = store(spec, partial(_write, unfinished), Encoding(recipients, level))
            os.replace(unfinished, path)
        except OSError as error:
            raise OperationFailed(
                f"Segments cannot be kept in {self.directory}: {error.strerror}.",
                "Make room on the disk of the state directory. Until then the server's own logs are the only copy.",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
        return stored

    def forget(self, number: int) -> None:
        self.path(number).unlink(missing_ok=True)

    def numbers(self) -> list[int]:
        """What waits here, in order."""
        return sorted(int(path.name) for path in self.directory.iterdir() if path.name.isdigit())

    def clean(self) -> None:
        """Remove what a killed archiver did not finish."""
        for path in self.directory.glob(f"*{UNFINISHED}"):
            path.unlink(missing_ok=True)

    def size(self) -> int:
        found = 0
        for path in self.directory.iterdir():
            with suppress(FileNotFoundError):  # Delivered in between.
                found += path.stat().st_size
        return found


def _write(path: Path, stream: Reader) -> Stored:
    with path.open("wb") as file:
        while block := stream.read(BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return Stored(path.name, file.tell())
