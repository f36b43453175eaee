"""Removing what a restored set does not have, without ever leaving the tree."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from backups.engines._files_patterns import below
from backups.engines._files_snapshot import UNREADABLE, VANISHED
from backups.engines._files_tree import ROOT, Tree
from backups.witness import Witness
from drcenter.errors import OperationFailed

BLOCK = 1 << 20


def clear(tree: Tree, witness: Witness) -> None:
    """Remove every path that the witness does not have, deepest first.

    Excluded and kept paths stay, and so do those that the set could not hold (unreadable, changing),
    and directories that hold any of these. The times of the directories stay as the restore set them.
    Raises OperationFailed, before anything is removed, for a witness that is none of a tree.
    """
    if os.fsdecode(ROOT) not in witness.contents and os.fsdecode(ROOT) not in witness.ignored:
        raise OperationFailed("The set has no list of its files: nothing was removed.", permanent=True)
    stale = [path for path in _stale(tree, witness) if path != ROOT]
    for path in reversed(stale):
        with _parent(tree, path) as directory, suppress(FileNotFoundError):
            _remove(os.path.basename(path), directory)


def remove_listed(tree: Tree, listed: BinaryIO) -> None:
    """Remove the paths of a set's list of what is gone, each ended by NUL, a directory after what it holds.

    What is kept or excluded here stays, and so do the directories that hold any of it. Raises OperationFailed for a
    path that leads out of the tree: the list comes from a store.
    """
    for name in _names(listed):
        path = name.removeprefix(b"./")
        if path.startswith(b"/") or not {b"", b".", b".."}.isdisjoint(path.split(b"/")):
            raise OperationFailed(
                "The list of what is gone names a path outside of the directory.", permanent=True
            )
        if not (tree.kept(path) or tree.excluded(path)) and os.path.lexists(tree.place(path)):
            with _parent(tree, path) as directory, suppress(FileNotFoundError):
                _remove(os.path.basename(path), directory)


def _names(listed: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while block := listed.read(BLOCK):
        *names, rest = (rest + block).split(b"\0")
        yield from names
    if rest:
        raise OperationFailed("The list of what is gone ends in the middle of a name.", permanent=True)


def _stale(tree: Tree, witness: Witness) -> Iterator[bytes]:
    ignored = witness.ignored
    lacking = below(name for name, reason in ignored.items() if reason.startswith(UNREADABLE))
    for entry in tree.walk():
        name = os.fsdecode(entry.path)
        stays = name in witness.contents or ignored.get(name, VANISHED) != VANISHED
        if not (stays or tree.kept(entry.path) or lacking(entry.path)):
            yield entry.path


@contextmanager
def _parent(tree: Tree, path: bytes) -> Iterator[int]:
    """The directory of `path`, opened name by name, so that a link planted meanwhile leads nowhere."""
    number = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in path.split(b"/")[:-1]:
            further = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=number)
            os.close(number)
            number = further
        status = os.fstat(number)
        yield number
        with suppress(PermissionError):
            os.utime(number, ns=(status.st_atime_ns, status.st_mtime_ns))
    except OSError as error:
        raise OperationFailed(
            f"{os.fsdecode(tree.place(path))!r}, which the set does not have, cannot be removed: {error.strerror}.",
            "Remove it by hand, as the owner of its directory.",
        ) from None
    finally:
        os.close(number)


def _remove(name: bytes, directory: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        # It holds what is excluded or kept, a socket, or another file system.
        if error.errno not in {errno.ENOTEMPTY, errno.EBUSY}:
            raise
