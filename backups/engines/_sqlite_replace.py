"""Putting a restored SQLite file in the place of another, whole or not at all."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import BinaryIO

from backups.engines._sqlite_connection import MAGIC, connected
from backups.engines._sqlite_witness import is_damaged
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
COMPANIONS = ("-wal", "-shm", "-journal")


def replace(path: Path, stream: BinaryIO) -> None:
    """Write `stream` beside `path`, check it, and put it in the place of `path`.

    Until the last step the old database is untouched. The new one has the owner, mode and ACL of the
    old one. Raises OperationFailed when what arrived is no whole database, or the old one is in use.
    """
    final = path.resolve()
    fresh = final.with_name(final.name + ".drc-new")
    try:
        _write(fresh, stream)
        _check(fresh)
        _take_over_rights(final, fresh)
        _settle(final)
        for companion in COMPANIONS:
            # A log that stayed would be replayed into the new database, and destroy it.
            Path(f"{final}{companion}").unlink(missing_ok=True)
        os.replace(fresh, final)
        _sync_directory(final.parent)
    except OSError as error:
        raise OperationFailed(
            f"{final} cannot be restored: {error.strerror or error}.",
            "Check the space on its disk, and the rights of the workers' user on its directory.",
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def _write(fresh: Path, stream: BinaryIO) -> None:
    fresh.unlink(missing_ok=True)
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(number, "wb", buffering=0) as file:
        while block := stream.read(BLOCK):
            view = memoryview(block)
            while view:
                view = view[file.write(view) :]
        os.fsync(number)


def _check(fresh: Path) -> None:
    """The header, the size that it names, and the structure: an early end of the stream is seen here."""
    with fresh.open("rb") as file:
        head = file.read(100)
    size = fresh.stat().st_size
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


def _take_over_rights(final: Path, fresh: Path) -> None:
    if final.exists():
        old = final.stat()
        mode = stat.S_IMODE(old.st_mode)
    else:
        # Nothing to take over: whoever owns the directory is whose database it is.
        old, mode = final.parent.stat(), 0o600
    new = fresh.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) and (final.exists() or os.geteuid() == 0):
        _chown(fresh, old.st_uid, old.st_gid)
    os.chmod(fresh, mode)
    if final.exists() and "system.posix_acl_access" in os.listxattr(final):
        acl = os.getxattr(final, "system.posix_acl_access")
        os.setxattr(fresh, "system.posix_acl_access", acl)


def _chown(fresh: Path, uid: int, gid: int) -> None:
    try:
        os.chown(fresh, uid, gid)
    except PermissionError:
        raise OperationFailed(
            f"The restored database cannot be given to user {uid} and group {gid}, who own the present one.",
            "Restore as root, or as the owner of the database.",
            permanent=True,
        ) from None


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


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
