"""Directories that hold data in the clear for a moment, and are gone afterwards: also when their process is killed.

The process that works in such a directory holds a lock on it, which the kernel lets go of when the process ends,
however it ends. What nobody holds any more is removed by a tick.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

# A directory that was made a moment ago may not be held yet. In seconds.
GRACE = 60.0
# Where a private MariaDB server lies when its user may not enter the state directory.
MARIADB = (Path("/var/tmp"), "drcenter-mariadb-")  # noqa: S108 - directories of mode 0700 of our own


@contextmanager
def held_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """An empty directory of mode 0700 in `parent`, which is made if need be. Raises OSError."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with held(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody sweeps `path` while inside."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep_all() -> None:
    """A tick: everything that killed workers have left on this machine."""
    state = Path(settings.STATE_DIR)
    for parent, prefix in ((state / "scratch", "proof-"), (state / "tmp", "engine-"), MARIADB):
        sweep(parent, prefix)
    # What killed archivers had received: logs in the clear.
    for stream in (state / "logs").glob("stream-*"):
        sweep(stream, "received-")


def sweep(parent: Path, prefix: str) -> list[Path]:
    """Remove the directories that no process holds any more; returns them."""
    removed = []
    for path in sorted(parent.glob(f"{prefix}*")):
        with suppress(OSError):
            if _abandoned(path):
                shutil.rmtree(path)
                logger.warning("removed %s, which a process left that was killed", path)
                removed.append(path)
    return removed


def _abandoned(path: Path) -> bool:
    status = path.lstat()
    # Of a clock that was set back the age is negative: then it is old enough.
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        return False
    if 0 <= time.time() - status.st_ctime < GRACE:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
