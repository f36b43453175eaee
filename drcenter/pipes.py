"""Pipes to and from children, and files that only a child can open."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable
from typing import BinaryIO

from drcenter.secrets import Secret

PIPE_SIZE = 1 << 20
F_SETPIPE_SZ = 1031


def feed(pipe: BinaryIO, blocks: Iterable[bytes]) -> None:
    """Write all blocks and close. A reader that went away is told by its exit code, not here."""
    try:
        for block in blocks:
            write_all(pipe, block)
    except BrokenPipeError:
        return
    finally:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def write_all(pipe: BinaryIO, block: bytes) -> None:
    """Write the whole block: an unbuffered pipe may take less than it was given."""
    view = memoryview(block)
    while view:
        view = view[pipe.write(view) :]


def widen(descriptor: int) -> None:
    """Make the pipe as large as its user may."""
    try:
        fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return  # The user's pipe quota is used up: the default size works as well, only slower.


def memory_file(name: str, secret: Secret, user: str | None) -> int:
    """A file in memory, readable through /dev/fd as often as the tool likes, mode 0600 as libpq asks."""
    number = os.memfd_create(name, 0)
    os.fchmod(number, 0o600)
    os.write(number, secret.reveal().encode())
    if user is not None:
        shutil.chown(number, user)
    return number
