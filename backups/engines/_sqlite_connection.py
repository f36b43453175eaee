"""Connections to SQLite files that never create one, and never wait without end."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from drcenter.errors import OperationFailed

MAGIC = b"SQLite format 3\0"
# How long another connection may hold its lock before an act gives up.
BUSY_SECONDS = 20.0


@contextmanager
def connected(path: Path, mode: str = "ro", *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit to an existing file; closed when the context ends.

    `immutable` is for files that nobody else can have open: no lock, no `-wal` or `-shm` beside it.
    Raises OperationFailed for every error of SQLite inside the context.
    """
    address = f"file:{quote(os.fsencode(path))}?mode={mode}" + ("&immutable=1" if immutable else "")
    try:
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise explained(path, error) from None
    try:
        yield connection
    except sqlite3.Error as error:
        raise explained(path, error) from None
    finally:
        connection.close()


def explained(path: Path, error: sqlite3.Error) -> OperationFailed:
    """What `error` means for the person who runs the backup."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return OperationFailed(
            f"{path} stayed locked for more than {BUSY_SECONDS:.0f} s by another process.",
            "See which process writes for so long (lsof), or switch the database to WAL: PRAGMA journal_mode=WAL.",
        )
    if "not a database" in text:
        return OperationFailed(
            f"{path} is not a SQLite database.",
            "Check the path; an encrypted database cannot be read by this engine.",
            permanent=True,
        )
    if "readonly" in text:
        return OperationFailed(
            f"{path} was left in the middle of a change, and cannot be rolled back without writing.",
            "Open it once with its application, or sqlite3, which completes the roll-back.",
        )
    return OperationFailed(
        f"{path} cannot be read by SQLite: {text}.",
        "Check that the workers' user may read the file, and may write to its directory if it is in WAL mode.",
    )


def require_database(path: Path) -> None:
    """Raises OperationFailed unless `path` is a readable file that begins like a SQLite database."""
    try:
        with path.open("rb") as stream:
            head = stream.read(100)
    except OSError as error:
        raise OperationFailed(
            f"{path} cannot be opened: {error.strerror}.",
            "Check the path, and that the user of the workers may read it.",
            permanent=True,
        ) from None
    # A file of no bytes is how a database begins that nothing was written to.
    if head and not head.startswith(MAGIC):
        raise explained(path, sqlite3.DatabaseError("file is not a database"))


def journal_mode(path: Path) -> str:
    """`wal` or `rollback`, as the file's header says: it goes with the file, unlike the other modes."""
    with path.open("rb") as stream:
        head = stream.read(20)
    return "wal" if head[18:20] == b"\x02\x02" else "rollback"
