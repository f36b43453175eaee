"""Putting a restored SQLite file in the place of another, whole or not at all."""

import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backups.engines._sqlite_connection import MAGIC, connected
from backups.engines._sqlite_witness import is_damaged
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
ENDING = ".drc-new"
ACL = "system.posix_acl_access"
COMPANIONS = ("-wal", "-shm", "-journal")


OWNER, MODE = "file owner", "file mode"


@dataclass(frozen=True)
class Rights:
    """Owner and mode of a database, as the witness tells them; the owner may be unknown."""

    mode: int
    owner: tuple[int, int] | None = None

    @classmethod
    def of(cls, path: Path) -> "Rights":
        status = path.stat()
        return cls(status.st_mode & 0o777, (status.st_uid, status.st_gid))

    @classmethod
    def told(cls, objects: Mapping[str, str]) -> "Rights | None":
        if MODE not in objects:
            return None
        user, colon, group = objects.get(OWNER, "").partition(":")
        return cls(int(objects[MODE], 8) & 0o777, (int(user), int(group)) if colon else None)

    def as_objects(self) -> dict[str, str]:
        owner = {OWNER: f"{self.owner[0]}:{self.owner[1]}"} if self.owner else {}
        return {MODE: f"{self.mode:o}", **owner}


def replace(path: Path, stream: BinaryIO, rights: Rights | None = None) -> None:
    """Write `stream` beside `path`, check it, and put it in the place of `path`.

    Until the last step the old database is untouched. The new one has the owner, mode and ACL of the
    old one; where there is none, `rights`, which are those of the set. Raises OperationFailed when what arrived is no whole database, or the old one is in use.

    The directory may belong to somebody who means harm to a worker that is root: rights are given to the
    file that was written, through its descriptor, and never to whatever has its name by then.
    """
    final = path.resolve()
    fresh = final.with_name(final.name + ENDING)
    try:
        with _opened(final.parent) as directory:
            try:
                with _created(fresh.name, directory) as number:
                    _write(number, stream)
                    _check(fresh, number)
                    _take_over_rights(final.name, number, directory, rights)
                    _settle(final)
                    _put(final.name, number, directory)
            finally:
                _unlink(fresh.name, directory)
    except OSError as error:
        raise OperationFailed(
            f"{final} cannot be restored: {error.strerror or error}.",
            "Check the space on its disk, and the rights of the workers' user on its directory.",
        ) from None


def written(path: Path, stream: BinaryIO) -> None:
    """Write `stream` to the new file `path`, in a directory of ours, and check it. Raises OperationFailed."""
    try:
        with _opened(path.parent) as directory, _created(path.name, directory) as number:
            _write(number, stream)
            _check(path, number)
    except OSError as error:
        raise OperationFailed(f"{path} cannot be written: {error.strerror or error}.") from None


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def _created(name: str, directory: int) -> Iterator[int]:
    """A new and empty file that nobody else may read; it is open until the context ends."""
    _unlink(name, directory)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    number = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        yield number
    finally:
        os.close(number)


def _unlink(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _write(number: int, stream: BinaryIO) -> None:
    while block := stream.read(BLOCK):
        view = memoryview(block)
        while view:
            view = view[os.write(number, view) :]
    os.fsync(number)


def _check(fresh: Path, number: int) -> None:
    """The header, the size that it names, and the structure: an early end of the stream is seen here."""
    head, size = os.pread(number, 100, 0), os.fstat(number).st_size
    if head[:16] != MAGIC:
        raise OperationFailed("What was restored is not a SQLite database.", permanent=True)
    page = int.from_bytes(head[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    if size != expected:
        raise OperationFailed(f"The restored database has {size} bytes, its header says {expected}.")
    with connected(fresh, immutable=True) as connection:
        try:
            finding = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            finding = str(error)
    if is_damaged(finding):
        raise OperationFailed(f"The restored database is damaged: {finding}", "Restore an older set.")


def _take_over_rights(name: str, number: int, directory: int, rights: Rights | None) -> None:
    """Owner, mode and ACL of the file `name`, where there is one; or those of the set; or its directory's owner."""
    parent, acl = os.fstat(directory), None
    owner = (parent.st_uid, parent.st_gid)
    mode, known = 0o600, False
    if rights is not None:
        mode, owner = rights.mode, rights.owner or owner
    with suppress(FileNotFoundError):
        old = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(old.st_mode):
            raise OperationFailed(f"{name} is not a file any more: nothing was replaced.", permanent=True)
        # Never the bits that make a program run as its owner: a database is none.
        mode, known = stat.S_IMODE(old.st_mode) & 0o777, True
        owner = (old.st_uid, old.st_gid)
        acl = _acl(name, directory)
    new = os.fstat(number)
    if (new.st_uid, new.st_gid) != owner and (known or os.geteuid() == 0):
        _chown(number, *owner)
    os.fchmod(number, mode)
    if acl is not None:
        os.setxattr(number, ACL, acl)


def _acl(name: str, directory: int) -> bytes | None:
    path = f"/proc/self/fd/{directory}/{name}"
    if ACL not in os.listxattr(path, follow_symlinks=False):
        return None
    return os.getxattr(path, ACL, follow_symlinks=False)


def _chown(number: int, uid: int, gid: int) -> None:
    try:
        os.fchown(number, uid, gid)
    except PermissionError:
        raise OperationFailed(
            f"The restored database cannot be given to user {uid} and group {gid}, who own the present one.",
            "Restore as root, or as the owner of the database.",
            permanent=True,
        ) from None


def _put(name: str, number: int, directory: int) -> None:
    """The last step. Raises OperationFailed when the new file's name belongs to something else by now."""
    fresh, written = name + ENDING, os.fstat(number)
    there = os.stat(fresh, dir_fd=directory, follow_symlinks=False)
    if (there.st_dev, there.st_ino) != (written.st_dev, written.st_ino):
        raise OperationFailed(
            f"{fresh} was replaced by somebody else while it was checked: nothing was restored.",
            "See who writes to the directory of the database.",
        )
    for companion in COMPANIONS:
        # A log that stayed would be replayed into the new database, and destroy it.
        _unlink(f"{name}{companion}", directory)
    os.replace(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _settle(final: Path) -> None:
    """Move the old one's log into it, so that it is whole if anything stops before the replacement.

    A database too damaged for that is replaced all the same. Raises OperationFailed if it is in use.
    """
    if not final.exists():
        return
    try:
        with connected(final, "rw") as connection:
            connection.execute("PRAGMA busy_timeout=5000")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except OperationFailed as error:
        if "locked" in error.message:
            raise OperationFailed(
                f"{final} is in use.", "Stop the application and its queue workers, then try again."
            ) from None
