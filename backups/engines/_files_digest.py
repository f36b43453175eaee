"""What makes one file the same as another: type, mode, owner, time, links, attributes, contents."""

import errno
import os
import stat
from hashlib import sha256

from backups.witness import Content

BLOCK = 1 << 20
# The attributes that tar carries here; others (SELinux, IMA) belong to the machine, not to the file.
ACLS = ("system.posix_acl_access", "system.posix_acl_default")


def carried(name: str, *, as_root: bool) -> bool:
    """True for an extended attribute that a restore brings back; root may set more of them."""
    if name.startswith("user.") or name in ACLS:
        return True
    return as_root and (name == "security.capability" or name.startswith("trusted."))


def digest(place: bytes, status: os.stat_result, group: bytes, *, as_root: bool) -> Content:
    """The digest of one path. `group` is the first name of a file with several, else empty.

    Owner and group count only as root: nobody else can restore them. The count is the size in bytes
    of a file's contents, 0 for a directory. Raises OSError when it cannot be read.
    """
    mode = status.st_mode
    owner = f"{status.st_uid} {status.st_gid}" if as_root else "-"
    total = sha256(f"{mode:o} {owner} {status.st_mtime_ns} {status.st_rdev} ".encode())
    size = 0
    if stat.S_ISREG(mode):
        size, contents = _contents(place)
        total.update(contents)
    elif stat.S_ISLNK(mode):
        link = os.readlink(place)
        size = len(link)
        total.update(sha256(link).digest())
    total.update(sha256(group).digest() if group else b"-")
    for name, value in _attributes(place, mode, as_root=as_root):
        total.update(f"{name} {len(value)} ".encode() + value)
    return Content(size, total.hexdigest())


def _contents(place: bytes) -> tuple[int, bytes]:
    # A name may have become a pipe or a link since it was listed: neither wait for it nor follow it.
    number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        contents, size = sha256(), 0
        while block := os.read(number, BLOCK):
            contents.update(block)
            size += len(block)
        return size, contents.digest()
    finally:
        os.close(number)


def _attributes(place: bytes, mode: int, *, as_root: bool) -> list[tuple[str, bytes]]:
    if stat.S_ISLNK(mode):
        return []
    try:
        names = os.listxattr(place, follow_symlinks=False)
        return [
            (name, os.getxattr(place, name, follow_symlinks=False))
            for name in sorted(names)
            if carried(name, as_root=as_root)
        ]
    except OSError as error:
        if error.errno in {errno.ENOTSUP, errno.ENODATA}:  # the file system has none; removed meanwhile
            return []
        raise
