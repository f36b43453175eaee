"""Walking a tree as it is, in names of any bytes, without ever following a link out of it."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from backups.engines._files_patterns import Matches, below, excluded, outside
from drcenter.errors import OperationFailed

ROOT = b"."
# Nanoseconds: the kernel's clock for times of files ticks every 1 to 10 ms, older file systems' every 1 or 2 s.
FINE, COARSE = 50_000_000, 2_100_000_000
_STATE = Struct("<9q").pack


class Entry(NamedTuple):
    """One path: relative to the root, what lstat says, and why it cannot be read ("" if it can)."""

    path: bytes
    status: os.stat_result
    problem: str = ""


@dataclass(frozen=True)
class Tree:
    """A directory, and which paths below it are looked at.

    `excluded`: not in a set, and not touched by a restore; so is what is not `only`, if anything is. `kept`: in a set, but not touched by a restore.
    """

    root: bytes
    excluded: Matches
    kept: Matches
    one_file_system: bool

    @classmethod
    def of(
        cls, path: str, exclude: list[str], keep: list[str], one_file_system: bool, only: Sequence[str] = ()
    ) -> "Tree":
        without, beyond = excluded(exclude), outside(only)
        return cls(
            os.fsencode(path), lambda name: without(name) or beyond(name), below(keep), one_file_system
        )

    def place(self, path: bytes) -> bytes:
        """Where the relative `path` is."""
        return os.path.join(self.root, path)

    def walk(self) -> Iterator[Entry]:
        """Every entry, a directory before what it holds; the root, named `.`, comes first.

        What cannot be looked into is an entry with a problem. What vanishes meanwhile is no entry.
        Sockets are left out: they belong to a running process. Raises OperationFailed without a root.
        """
        top = self.root_status()
        device = top.st_dev if self.one_file_system else None
        waiting = [(ROOT, top)]
        while waiting:
            directory, status = waiting.pop()
            try:
                children = self._children(directory)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    yield Entry(directory, status, error.strerror or "unreadable")
                continue
            yield Entry(directory, status)
            for child in children:
                mode = child.status.st_mode
                if stat.S_ISDIR(mode) and not child.problem and device in {None, child.status.st_dev}:
                    waiting.append((child.path, child.status))
                else:
                    yield child

    def root_status(self) -> os.stat_result:
        """What stat says of the directory. Raises OperationFailed if there is none."""
        try:
            status = os.stat(self.root)
        except OSError as error:
            raise OperationFailed(
                f"{os.fsdecode(self.root)} cannot be read: {error.strerror}.",
                "Check the path, and that the user of the workers may read it.",
                permanent=True,
            ) from None
        if not stat.S_ISDIR(status.st_mode):
            raise OperationFailed(f"{os.fsdecode(self.root)} is not a directory.", permanent=True)
        return status

    def _children(self, directory: bytes) -> list[Entry]:
        prefix = b"" if directory == ROOT else directory + b"/"
        found = []
        with os.scandir(self.place(directory)) as scanned:
            for child in scanned:
                path = prefix + child.name
                if self.excluded(path):
                    continue
                try:
                    status = child.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISSOCK(status.st_mode):
                    found.append(Entry(path, status, self._problem(path, status)))
        return found

    def _problem(self, path: bytes, status: os.stat_result) -> str:
        """Why the file cannot be read, as far as rights tell. What reading it says is seen in the witness."""
        user = os.geteuid()
        if user == 0 or not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_uid == user and status.st_mode & stat.S_IRUSR:
            return ""
        return "" if os.access(self.place(path), os.R_OK, effective_ids=True) else "Permission denied"


def signature(status: os.stat_result) -> bytes:
    """16 bytes that are others when the file was changed: trees have many files.

    Of a directory neither size nor links count: they change with what it holds, which is looked at by itself.
    """
    directory = stat.S_ISDIR(status.st_mode)
    state = _STATE(
        status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns,
        status.st_ctime_ns, 0 if directory else status.st_nlink, 0 if directory else status.st_size,
    )  # fmt: skip
    return blake2b(state, digest_size=16).digest()


def young(status: os.stat_result, moment: int) -> bool:
    """Whether the file was changed so shortly before `moment`, in nanoseconds, or after it, that one more change
    might show the same time. File systems without fractions of seconds have times that end in zeros."""
    margin = COARSE if status.st_ctime_ns % 1_000_000_000 == 0 else FINE
    return status.st_ctime_ns >= moment - margin
