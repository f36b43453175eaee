"""A directory on this machine, or a disk or network file system that is mounted there.

Django's FileSystemStorage decides which path a key may have. It does not write: what it leaves when
the stream raises is half a file under the final name, and it never asks the disk to keep it. Here a
file gets its name only when it is complete and on the disk.
"""

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from django import forms
from django.core.exceptions import SuspiciousFileOperation, ValidationError
from django.core.files.storage import FileSystemStorage
from django.utils.translation import gettext_lazy as _

from backups.destinations._keys import RESERVED, checked
from backups.destinations.base import Destination, NotThere, Reader, Space, Stored
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
# More than the stream gives at once: what it has to cut, it has to copy.
AT_ONCE = 4 << 20
MARKER = f"{RESERVED}-destination"
TEMPORARY = f"{RESERVED}-unfinished-"
HINTS = {
    errno.ENOSPC: "The disk is full. Free space, or let fewer sets be kept there.",
    errno.EDQUOT: "The quota is used up. Raise it, or let fewer sets be kept there.",
    errno.EFBIG: "The file system takes no file of that size. Use another one.",
    errno.EROFS: "The file system is mounted read-only: look for disk errors (dmesg), then mount it again.",
    errno.EACCES: "Give the user of the workers the right to read and write there.",
    errno.EPERM: "Give the user of the workers the right to read and write there.",
    errno.EIO: "The disk reports an error: look at dmesg and the state of the disk (smartctl).",
    errno.ENOTDIR: "A file stands where a directory is needed. Move it away.",
    errno.EISDIR: "A directory stands where a file is needed. Move it away.",
}
# Here trying again may help: a network file system that was away for a moment.
TRANSIENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN, errno.ENOENT}


class LocalOptions(forms.Form):
    path = forms.CharField(
        label=_("Directory"),
        help_text=_("An absolute path. If it is on a disk of its own, that disk has to be mounted now."),
    )

    def clean_path(self) -> str:
        path: str = os.path.normpath(self.cleaned_data["path"])
        if not path.startswith("/") or path.strip("/") == "":
            raise ValidationError(_("Write an absolute path below /."))
        return path


class Plugin(Destination):
    """Keeps each object as a file of mode 0600 in directories of mode 0700."""

    label = cast(str, _("Directory on this machine"))
    Options = LocalOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._root = Path(self.options["path"] or "")
        self._storage = FileSystemStorage(location=self._root)
        self._unfinished: set[Path] = set()

    @property
    def target(self) -> str:
        return str(self._root)

    def prepare(self) -> None:
        """Create the directory and the marker that tells it from the empty place of an unmounted disk."""
        if not self._root.is_absolute():
            raise OperationFailed("The directory has to be an absolute path.", permanent=True)
        with _explained(f"{self._root} cannot be prepared"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            marker = self._root / MARKER
            if not marker.is_file():
                marker.write_text("Backups are kept here. Without this file nothing is written here.\n")
                _sync_directory(self._root)

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        path = self._path(key)
        temporary = self._begin(key, path)
        try:
            _fill(temporary, stream, key)
            with _explained(f"{key} cannot be stored in {self._root}"):
                os.replace(temporary, path)
                _sync_directory(path.parent)
        except BaseException:
            self._discard(temporary)
            raise
        self._unfinished.discard(temporary)
        return self.head(key)

    def _begin(self, key: str, path: Path) -> Path:
        """An empty file of mode 0600 beside `path`, under a name that no list shows."""
        with _explained(f"{key} cannot be stored in {self._root}"):
            for _attempt in range(5):
                # A delete at the same time may remove a directory that is empty for a moment.
                with suppress(FileNotFoundError):
                    self._make_directories(path.parent)
                    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
                    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                    self._unfinished.add(temporary)
                    return temporary
        raise OperationFailed(f"{key} cannot be stored: its directory vanished again and again.")

    def _make_directories(self, directory: Path) -> None:
        """`directory` and its parents up to the root, which is never made here."""
        if directory == self._root or directory.is_dir():
            return
        self._make_directories(directory.parent)
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        _sync_directory(directory.parent)

    def _discard(self, temporary: Path) -> None:
        """Remove it as far as the disk lets us; what stays is tried again by `abort`."""
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
            self._unfinished.discard(temporary)
            self._remove_empty(temporary.parent)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        path = self._path(key)
        with _explained(f"{key} cannot be read from {self._root}", key):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise NotThere(f"{key} is not in {self._root}.", permanent=True)
        file.seek(start)
        if length is None:
            return file
        return cast(BinaryIO, io.BufferedReader(_Window(file, length), BLOCK))

    def head(self, key: str) -> Stored:
        path = self._path(key)
        with _explained(f"{key} cannot be looked up in {self._root}", key):
            status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise NotThere(f"{key} is not in {self._root}.", permanent=True)
        return _stored(key, status)

    def list(self, prefix: str) -> Iterator[Stored]:
        self._require_marker()
        yield from _walk(self._root, "", prefix)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained(f"{key} cannot be deleted from {self._root}"):
            with suppress(FileNotFoundError):
                path.unlink()
            self._remove_empty(path.parent)

    def unfinished(self, prefix: str) -> Iterator[Stored]:
        self._require_marker()
        for path in _unfinished_files(self._root, prefix):
            with suppress(FileNotFoundError):
                yield _stored(str(path.relative_to(self._root)), path.lstat())

    def abort(self, prefix: str | None = None) -> None:
        """Remove unfinished files: those of this instance, and with `prefix` all whose directory starts so."""
        for temporary in sorted(self._unfinished):
            self._discard(temporary)
        if prefix is not None:
            self._require_marker()
            for temporary in _unfinished_files(self._root, prefix):
                self._discard(temporary)

    def space(self) -> Space:
        self._require_marker()
        with _explained(f"The space of {self._root} cannot be read"):
            system = os.statvfs(self._root)
        return Space(total=system.f_blocks * system.f_frsize, free=system.f_bavail * system.f_frsize)

    def _require_marker(self) -> None:
        """Refuse a place that is not the prepared one: an unmounted disk looks like an empty directory."""
        marker = self._root / MARKER
        with _explained(f"{self._root} cannot be used"):
            there = marker.is_file()
        if not there:
            raise OperationFailed(
                f"{self._root} is not there, or is not the directory that was prepared: {MARKER} is missing in it.",
                "Mount the disk. If this place is new, prepare it by saving the destination once more.",
                permanent=True,
            )

    def _path(self, key: str) -> Path:
        """Where `key` is. Raises OperationFailed when it would leave the root, also by a symbolic link."""
        self._require_marker()
        try:
            path = Path(self._storage.path(checked(key)))
        except (SuspiciousFileOperation, ValueError):
            raise OperationFailed(f"The key {key[:100]!r} leaves {self._root}.", permanent=True) from None
        inside = Path(os.path.realpath(self._root)) / path.parent.relative_to(self._storage.location)
        if Path(os.path.realpath(path.parent)) != inside:
            raise OperationFailed(
                f"{key} leaves {self._root} by a symbolic link.",
                "Remove the link: nothing is stored or read through links.",
                permanent=True,
            )
        return path

    def _remove_empty(self, directory: Path) -> None:
        """Remove `directory` and its parents below the root, as long as they are empty."""
        while directory != self._root and self._root in directory.parents:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # Not empty: others keep objects there.
            directory = directory.parent


class _Window(io.RawIOBase):
    """At most `length` bytes of a file from where it stands; closes it."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        super().__init__()
        self._file = file
        self._left = max(length, 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _explained(what: str, key: str | None = None) -> Iterator[None]:
    """Turn an OSError into OperationFailed, or into NotThere where `key` was looked for and is absent."""
    try:
        yield
    except OSError as error:
        if key is not None and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise NotThere(f"{key} is not there.", permanent=True) from None
        hint = HINTS.get(error.errno or 0, "")
        raise OperationFailed(
            f"{what}: {error.strerror}.", hint, permanent=error.errno not in TRANSIENT
        ) from None


def _fill(temporary: Path, stream: Reader, key: str) -> None:
    """Write all of `stream` and wait until the disk has it. What the stream raises passes on as it is."""
    with temporary.open("r+b", buffering=0) as file:
        while block := stream.read(AT_ONCE):
            with _explained(f"{key} cannot be written"):
                _write_all(file, block)
        with _explained(f"{key} cannot be written"):
            os.fsync(file.fileno())
            # Whoever reads it back shall read the disk, not the memory that was just written.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _write_all(file: io.FileIO, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _sync_directory(directory: Path) -> None:
    """Wait until the disk has the names in `directory`; some network file systems cannot be asked."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _stored(key: str, status: os.stat_result) -> Stored:
    return Stored(key, status.st_size, modified=datetime.fromtimestamp(status.st_mtime, UTC))


def _walk(directory: Path, base: str, prefix: str) -> Iterator[Stored]:
    """Regular files below `directory` whose key starts with `prefix`, ordered as one list of whole keys."""
    for key, entry in _entries(directory, base):
        if key.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(directory / entry.name, key, prefix)
        elif key.startswith(prefix):
            with suppress(FileNotFoundError):  # Deleted since the directory was read.
                yield _stored(key, entry.stat(follow_symlinks=False))


def _entries(directory: Path, base: str) -> "list[tuple[str, os.DirEntry[str]]]":
    """(key, entry) of files and directories that can be keys; a directory's key ends in "/".

    Sorted with that slash, since "a-b" comes before "a/b" in an object store. Links, unfinished
    files and names that are no UTF-8 are left out: no `put` made them.
    """
    found = []
    with (
        _explained(f"{directory} cannot be listed"),
        suppress(FileNotFoundError),
        os.scandir(directory) as entries,
    ):
        for entry in filter(lambda entry: _is_name(entry.name), entries):
            if entry.is_dir(follow_symlinks=False):
                found.append((f"{base}{entry.name}/", entry))
            elif entry.is_file(follow_symlinks=False):
                found.append((f"{base}{entry.name}", entry))
    return sorted(found, key=lambda one: one[0].encode())


def _is_name(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(RESERVED)


def _unfinished_files(root: Path, prefix: str) -> Iterator[Path]:
    """Temporary files in directories whose key starts with `prefix`, whoever left them."""
    for directory, names, files in os.walk(root):
        base = "" if Path(directory) == root else f"{Path(directory).relative_to(root)}/"
        names[:] = [
            name
            for name in names
            if f"{base}{name}/".startswith(prefix) or prefix.startswith(f"{base}{name}/")
        ]
        if base.startswith(prefix):
            yield from (Path(directory) / name for name in files if name.startswith(TEMPORARY))
