"""Protected places for what an engine has to put on disk for a moment."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from drcenter.errors import OperationFailed

PREFIX = "engine-"


@contextmanager
def protected_directory() -> Iterator[Path]:
    """A directory of mode 0700 in the state directory, gone when the context ends.

    Not where the system keeps temporary files: that is often memory, and a copy may be large. What a
    killed worker left behind is removed by the next one. Raises OperationFailed when it cannot be made.
    """
    parent = Path(settings.STATE_DIR) / "tmp"
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(parent):
            _sweep(parent)
            directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            # The lock says that somebody lives here; the kernel opens it when the worker dies.
            lock = _lock(directory, fcntl.LOCK_EX)
    except OSError as error:
        raise OperationFailed(
            f"No place for temporary files in {parent}: {error.strerror}.",
            "Check DRC_STATE, the space on its disk, and the rights of the workers' user.",
        ) from None
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _lock(directory: Path, how: int) -> int:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, how)
    except BaseException:
        os.close(number)
        raise
    return number


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    number = _lock(directory, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(number)


def _sweep(parent: Path) -> None:
    """Remove the directories whose workers are gone."""
    for directory in parent.glob(f"{PREFIX}*"):
        try:
            lock = _lock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # Somebody lives there, or it went in this moment, or it belongs to another user.
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
