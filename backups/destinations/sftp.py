"""A directory on another machine, reached over SSH.

Not through django-storages' backend: it accepts any host key, keeps only the last piece of what is written in pieces,
writes straight to the final name, and swallows the errors of deletes.
"""

import hashlib
import io
import secrets as random
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from django.utils.translation import gettext_lazy as _

from backups.destinations import _sftp_protocol as protocol
from backups.destinations._keys import RESERVED, checked
from backups.destinations._retry import retried
from backups.destinations._sftp_connect import Address, connect, explained, is_lost
from backups.destinations._sftp_files import FileReader, Upload, closed, opened
from backups.destinations._sftp_options import SftpOptions
from backups.destinations._sftp_protocol import Attributes, Refused, Session, text
from backups.destinations.base import Destination, NotThere, Reader, Space, Stored
from drcenter.errors import OperationFailed

BLOCK = 1 << 20
MARKER = f"{RESERVED}-destination"
TEMPORARY = f"{RESERVED}-unfinished-"
# Less than this is free: then a failure without a reason means that the disk is full.
ALMOST_NOTHING = 4 << 20
Names = list[tuple[str, Attributes]]
FULL = "Free space there, or let fewer sets be kept."


class Plugin(Destination):
    """Keeps each object as a file of mode 0600 in directories of mode 0700 on the server."""

    label = cast(str, _("SFTP server"))
    Options = SftpOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        text_of = {name: self.options[name] or "" for name in ("password", "private_key", "passphrase")}
        self._address = Address(
            self.options["host"] or "", int(self.options["port"] or 22), self.options["user"] or "",
            tuple(self.options["host_key"] or ()), **text_of,
        )  # fmt: skip
        self._root: str = self.options["path"] or ""
        self._unfinished: set[str] = set()
        self._session: Session | None = None
        self._connecting = threading.Lock()

    @property
    def target(self) -> str:
        return f"sftp://{self._address.user}@{self._address.server}/{self._root.lstrip('/')}"

    # ------------------------------------------------------------------ the connection

    def _connected(self) -> Session:
        """The session; a new one after the last one broke."""
        with self._connecting:
            if self._session is None or self._session.broken:
                self._session = connect(self._address, self)
            return self._session

    def _call(self, kind: int, *fields: bytes, expected: int = protocol.STATUS) -> protocol.Packet:
        return self._connected().call(kind, *fields, expected=expected)

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked(key)}"

    def _status(self, path: str) -> Attributes:
        return self._call(protocol.LSTAT, text(path.encode()), expected=protocol.ATTRIBUTES).attributes()

    def _require_marker(self) -> None:
        """Refuse a place that is not the prepared one: a disk that is not mounted looks like an empty directory."""
        with explained(f"{self.target} cannot be used"):
            try:
                self._status(f"{self._root}/{MARKER}")
            except Refused as error:
                if error.code != protocol.NO_SUCH_FILE:
                    raise
                raise OperationFailed(
                    f"{self.target} is not there, or is not the directory that was prepared: {MARKER} is missing.",
                    "Mount the server's disk. If this place is new, prepare it by saving the destination once more.",
                    permanent=True,
                ) from None

    def prepare(self) -> None:
        """Create the directory and the marker that tells it from the empty place of an unmounted disk."""
        with explained(f"{self.target} cannot be prepared"):
            self._make_directories(self._root)
            session = self._connected()
            flags = protocol.FOR_WRITING | protocol.CREATE
            handle = opened(session, f"{self._root}/{MARKER}".encode(), flags)
            note = b"Backups are kept here. Without this file nothing is written here.\n"
            session.call(protocol.WRITE, text(handle), protocol.long(0), text(note))
            closed(session, handle)

    # ------------------------------------------------------------------ what is promised

    def put(self, key: str, stream: Reader, *, expected_size: int | None = None) -> Stored:
        path = self._path(key)
        what = f"{key} cannot be stored at {self.target}"
        directory = path.rpartition("/")[0]
        temporary = f"{directory}/{TEMPORARY}{random.token_hex(8)}"
        # A connection that was idle may be gone. The stream has not been touched yet.
        retried(lambda: self._begin(directory, what), is_lost)
        try:
            self._unfinished.add(temporary)
            upload = Upload(self._connected, temporary.encode(), what)
            with self._full_disk(what):
                upload.fill(stream)
            checksum = self._compared(temporary, upload, what)
            retried(lambda: self._rename(temporary, path, what), is_lost)
        except BaseException:
            self._discard(temporary)
            raise
        self._unfinished.discard(temporary)
        return replace(retried(lambda: self.head(key)), checksum=checksum)

    def _begin(self, directory: str, what: str) -> None:
        self._require_marker()
        with self._full_disk(what), explained(what):
            self._make_directories(directory)

    def _compared(self, temporary: str, upload: Upload, what: str) -> str:
        """The checksum of what the server holds, read back; "" where the options do not want that."""
        if not self.options["read_back"]:
            return ""
        found = hashlib.sha256()
        with FileReader(self._connected, temporary.encode(), temporary, 0, None) as stream:
            reader = io.BufferedReader(stream, BLOCK)
            while block := reader.read(BLOCK):
                found.update(block)
        if found.digest() != upload.digest.digest():
            raise OperationFailed(
                f"{what}: it does not come back as it was sent.", "Check the server's disk."
            )
        return f"sha256:{found.hexdigest()}"

    def _rename(self, temporary: str, path: str, what: str) -> None:
        """Give it its name, in place of what had it. Safe to call again: it may have its name already."""
        with explained(what):
            if self._found(temporary) is not None:
                self._replace(temporary, path)

    def _replace(self, temporary: str, path: str) -> None:
        names = text(temporary.encode()) + text(path.encode())
        if b"posix-rename@openssh.com" in self._connected().extensions:
            self._call(protocol.EXTENDED, text(b"posix-rename@openssh.com"), names)
            return
        try:
            self._call(protocol.RENAME, names)
        except Refused as error:
            if error.code != protocol.FAILURE:
                raise
            self._replace_in_steps(names, temporary, path)

    def _replace_in_steps(self, names: bytes, temporary: str, path: str) -> None:
        """Without posix-rename no name is taken over: the old file steps aside, and comes back if that fails."""
        aside = f"{temporary}-old"
        self._call(protocol.RENAME, text(path.encode()), text(aside.encode()))
        try:
            self._call(protocol.RENAME, names)
        except Refused:
            self._call(protocol.RENAME, text(aside.encode()), text(path.encode()))
            raise
        self._call(protocol.REMOVE, text(aside.encode()))

    def _make_directories(self, directory: str) -> None:
        try:
            found = self._status(directory)
        except Refused as error:
            if error.code != protocol.NO_SUCH_FILE:
                raise
        else:
            if found.mode is not None and not stat.S_ISDIR(found.mode):
                self._require_directory(directory)
            return
        if parent := directory.rpartition("/")[0]:
            self._make_directories(parent)
        try:
            self._call(protocol.MKDIR, text(directory.encode()), protocol.mode(0o700))
        except Refused as error:
            # Another upload may have made it meanwhile.
            if error.code != protocol.FAILURE or not stat.S_ISDIR(self._status(directory).mode or 0):
                raise

    def _require_directory(self, directory: str) -> None:
        """The root and what is above it may be links; below it nothing is written through them."""
        if directory == self._root or self._root.startswith(f"{directory}/"):
            return
        raise OperationFailed(
            f"{directory} at {self._address.server} is no directory.",
            "Move it away: nothing is stored through links.",
            permanent=True,
        )

    @contextmanager
    def _full_disk(self, what: str) -> Iterator[None]:
        """Servers report a full disk as a failure without a reason: ask them for the space."""
        try:
            yield
        except OperationFailed as error:
            if "without a reason" not in error.message:
                raise
            free = None
            with suppress(OperationFailed):
                free = self.space().free
            if free is None or free > ALMOST_NOTHING:
                raise
            raise OperationFailed(f"{what}: the server's disk is full.", FULL, permanent=True) from None

    def _discard(self, temporary: str) -> None:
        """Remove it as far as the server lets us; what stays is tried again by `abort`."""
        with suppress(OperationFailed), explained("It cannot be removed"):
            self._remove(temporary)
            self._unfinished.discard(temporary)
            self._remove_empty(temporary.rpartition("/")[0])

    def _remove(self, path: str) -> None:
        try:
            self._call(protocol.REMOVE, text(path.encode()))
        except Refused as error:
            if error.code != protocol.NO_SUCH_FILE:
                raise

    def _remove_empty(self, directory: str) -> None:
        """Remove `directory` and its parents below the root, as long as they are empty."""
        while directory.startswith(f"{self._root}/"):
            try:
                self._call(protocol.RMDIR, text(directory.encode()))
            except Refused as error:
                if error.code != protocol.NO_SUCH_FILE:
                    return
            directory = directory.rpartition("/")[0]

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        path = self._path(key)
        self.head(key)
        with explained(f"{key} cannot be read from {self.target}", key):
            reader = FileReader(self._connected, path.encode(), key, start, length)
        return cast(BinaryIO, io.BufferedReader(reader, BLOCK))

    def head(self, key: str) -> Stored:
        path = self._path(key)
        with explained(f"{key} cannot be looked up at {self.target}", key):
            found = self._found(path)
        if found is None:
            self._require_marker()
            raise NotThere(f"{key} is not there.", permanent=True)
        return _stored(key, found)

    def _found(self, path: str) -> Attributes | None:
        """Of a regular file; None where there is none, also where a parent is a file (a failure, to the server)."""
        try:
            found = self._status(path)
        except Refused as error:
            if error.code not in (protocol.NO_SUCH_FILE, protocol.FAILURE):
                raise
            return None
        return found if stat.S_ISREG(found.mode or 0) else None

    def list(self, prefix: str) -> Iterator[Stored]:
        self._require_marker()
        yield from self._walk("", prefix)

    def _walk(self, base: str, prefix: str) -> Iterator[Stored]:
        """Regular files below `base` whose key starts with `prefix`, ordered as one list of whole keys."""
        for key, found in sorted(self._entries(base), key=lambda one: one[0].encode()):
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix):
                yield _stored(key, found)

    def _entries(self, base: str) -> Iterator[tuple[str, Attributes]]:
        """(key, attributes) of files and directories that can be keys; a directory's key ends in "/"."""
        for name, found in self._names(base):
            kind = stat.S_IFMT(found.mode or 0)
            with suppress(OperationFailed):  # A name that no key can have: no `put` made it.
                checked(f"{base}{name}")
                if kind == stat.S_IFDIR:
                    yield f"{base}{name}/", found
                elif kind == stat.S_IFREG:
                    yield f"{base}{name}", found

    def _names(self, base: str) -> Names:
        """Everything in the directory, as the server says; nothing if it is not there."""
        found: Names = []
        path = f"{self._root}/{base}".rstrip("/").encode()
        with explained(f"{self.target} cannot be listed"):
            session = self._connected()
            try:
                handle = session.call(protocol.OPENDIR, text(path), expected=protocol.HANDLE).text()
            except Refused as error:
                if error.code == protocol.NO_SUCH_FILE:
                    return []
                raise
            try:
                while True:
                    found += _page(session.call(protocol.READDIR, text(handle), expected=protocol.NAME))
            except Refused as error:
                if error.code != protocol.END:
                    raise
            closed(session, handle)
        return found

    def delete(self, key: str) -> None:
        path = self._path(key)
        with explained(f"{key} cannot be deleted from {self.target}"):
            self._remove(path)
            self._remove_empty(path.rpartition("/")[0])

    def abort(self, prefix: str | None = None) -> None:
        """Remove unfinished files: those of this instance, and with `prefix` all whose directory starts so."""
        for temporary in sorted(self._unfinished):
            self._discard(temporary)
        if prefix is not None:
            self._require_marker()
            for key, _found in [*self._unfinished_files("", prefix)]:
                self._discard(f"{self._root}/{key}")

    def unfinished(self, prefix: str) -> Iterator[Stored]:
        self._require_marker()
        for key, found in self._unfinished_files("", prefix):
            yield _stored(key, found)

    def _unfinished_files(self, base: str, prefix: str) -> Iterator[tuple[str, Attributes]]:
        for name, found in self._names(base):
            kind, key = stat.S_IFMT(found.mode or 0), f"{base}{name}/"
            if kind == stat.S_IFREG and name.startswith(TEMPORARY) and base.startswith(prefix):
                yield f"{base}{name}", found
            elif kind == stat.S_IFDIR and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._unfinished_files(key, prefix)

    def space(self) -> Space:
        self._require_marker()
        if b"statvfs@openssh.com" not in self._connected().extensions:
            return Space()
        with explained(f"The space of {self.target} cannot be read"):
            fields = text(b"statvfs@openssh.com"), text(self._root.encode())
            answer = self._call(protocol.EXTENDED, *fields, expected=protocol.EXTENDED_REPLY)
        _block, fragment, blocks, _free, available = (answer.long() for _field in range(5))
        return Space(total=blocks * fragment, free=available * fragment)


def _page(answer: protocol.Packet) -> Names:
    """The names of one answer to READDIR; those that are no UTF-8, or lead elsewhere, are left out."""
    found = []
    for _entry in range(answer.number()):
        name, _long_name, attributes = answer.text(), answer.text(), answer.attributes()
        with suppress(UnicodeDecodeError):
            if name not in (b".", b"..") and b"/" not in name:
                found.append((name.decode(), attributes))
    return found


def _stored(key: str, found: Attributes) -> Stored:
    modified = None if found.modified is None else datetime.fromtimestamp(found.modified, UTC)
    return Stored(key, found.size or 0, modified=modified)
