"""One file on its way to an SFTP server, and back: pipelined, in constant memory, through broken connections."""

import hashlib
import io
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from backups.destinations import _retry
from backups.destinations._sftp_connect import explained, is_lost
from backups.destinations._sftp_protocol import (
    ATTRIBUTES,
    CLOSE,
    CREATE,
    DATA,
    END,
    EXCLUSIVE,
    EXTENDED,
    FOR_READING,
    FOR_WRITING,
    FSTAT,
    HANDLE,
    OPEN,
    READ,
    SMALLEST_BLOCK,
    WRITE,
    Attributes,
    Gone,
    Packet,
    Refused,
    Session,
    long,
    mode,
    number,
    text,
)
from backups.destinations.base import Reader
from drcenter.errors import OperationFailed

# Blocks under way at a time: 4 MiB with OpenSSH, whose blocks have 255 KiB.
UNDER_WAY = 16
DROPS = 20

Connected = Callable[[], Session]


def opened(session: Session, path: bytes, flags: int) -> bytes:
    """The handle of a file; one that is created belongs to its user alone."""
    fields = (text(path), number(flags), mode(0o600) if flags & CREATE else number(0))
    return session.call(OPEN, *fields, expected=HANDLE).text()


def closed(session: Session, handle: bytes) -> None:
    session.call(CLOSE, text(handle))


class Upload:
    """Writes a stream into a new file. Blocks that the server has not confirmed are kept, and sent again."""

    def __init__(self, connected: Connected, path: bytes, what: str) -> None:
        self._connected = connected
        self._path = path
        self._what = what
        self._session: Session | None = None
        self._handle = b""
        # The answer to the first try may have got lost: then the file is there already.
        self._tried_to_create = False
        # (request, offset, block), oldest first.
        self._under_way: deque[tuple[int, int, bytes]] = deque()
        self._block_size = SMALLEST_BLOCK
        self.size = 0
        self.digest = hashlib.sha256()

    def fill(self, stream: Reader) -> None:
        """Write all of `stream`, and wait until the server's disk has it. What the stream raises passes on as it is."""
        self._tried(self._ready)
        while block := self._block(stream):
            offset = self.size
            self.size += len(block)
            self.digest.update(block)
            self._tried(lambda offset=offset, block=block: self._write(offset, block))  # type: ignore[misc]
        self._tried(self._finish)

    def _block(self, stream: Reader) -> bytes:
        """A block of the size that the server takes; only the last one is shorter."""
        wanted, pieces = self._block_size, []
        while wanted and (piece := stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _tried(self, act: Callable[[], object]) -> None:
        """Do it; after a broken connection connect again, send again what was not confirmed, and go on."""

        def once() -> None:
            with explained(self._what):
                try:
                    act()
                except Gone:
                    self._session = None
                    raise

        _retry.retried(once, is_lost)

    def _ready(self) -> Session:
        if self._session is None:
            session = self._connected()
            flags = FOR_WRITING | CREATE | (0 if self._tried_to_create else EXCLUSIVE)
            self._tried_to_create = True
            self._handle = opened(session, self._path, flags)
            blocks = [(offset, block) for _request, offset, block in self._under_way]
            self._under_way.clear()
            self._session, self._block_size = session, session.block
            for offset, block in blocks:
                self._submit(session, offset, block)
        return self._session

    def _write(self, offset: int, block: bytes) -> None:
        session = self._ready()
        if not self._under_way or self._under_way[-1][1] != offset:
            self._submit(session, offset, block)
        while len(self._under_way) > UNDER_WAY:
            self._confirm(session)

    def _submit(self, session: Session, offset: int, block: bytes) -> None:
        """Noted before it is sent: what breaks off meanwhile is sent again."""
        self._under_way.append((0, offset, block))
        request = session.send(WRITE, text(self._handle), long(offset), text(block))
        self._under_way[-1] = (request, offset, block)

    def _confirm(self, session: Session) -> None:
        session.answer(self._under_way[0][0])
        self._under_way.popleft()

    def _finish(self) -> None:
        session = self._ready()
        while self._under_way:
            self._confirm(session)
        if b"fsync@openssh.com" in session.extensions:
            session.call(EXTENDED, text(b"fsync@openssh.com"), text(self._handle))
        found = session.call(FSTAT, text(self._handle), expected=ATTRIBUTES).attributes()
        if found.size != self.size:
            raise OperationFailed(f"{self._what}: the server holds {found.size} bytes of {self.size}.")
        closed(session, self._handle)


class FileReader(io.RawIOBase):
    """The bytes of a file, asked for ahead. A connection that breaks is opened again where it broke.

    Raises OperationFailed when the file was replaced meanwhile, ends early, or the connection breaks too often.
    """

    def __init__(self, connected: Connected, path: bytes, key: str, start: int, length: int | None) -> None:
        super().__init__()
        self._connected = connected
        self._path, self._key = path, key
        self._session: Session | None = None
        self._handle = b""
        self._requests: deque[tuple[int, int]] = deque()  # (request, bytes asked for)
        self._position = self._asked = start
        self._rest = memoryview(b"")  # Received, and not taken yet.
        self._drops = 0
        self._first: Attributes | None = None
        self._open()
        size = (self._first or Attributes()).size or 0
        self._end = size if length is None else min(size, start + max(length, 0))

    def readable(self) -> bool:
        return True

    def _open(self) -> None:
        session = self._connected()
        handle = opened(session, self._path, FOR_READING)
        found = session.call(FSTAT, text(handle), expected=ATTRIBUTES).attributes()
        if self._first is not None and found != self._first:
            closed(session, handle)
            raise OperationFailed(
                f"{self._key} was replaced while it was read.", "Start again.", permanent=True
            )
        self._session, self._handle, self._first = session, handle, found
        self._asked = self._position
        self._requests.clear()

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._end:
            return 0
        if not self._rest:
            self._rest = memoryview(_retry.retried(self._read))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def _read(self) -> bytes:
        try:
            with explained(f"{self._key} cannot be read on"):
                if self._session is None:
                    self._open()
                return self._next(self._session) if self._session else b""
        except OperationFailed as error:
            if not error.permanent:
                self._session = None
                self._drops += 1
                error.permanent = self._drops > DROPS
            raise

    def _next(self, session: Session) -> bytes:
        while len(self._requests) < UNDER_WAY and self._asked < self._end:
            count = min(session.block, self._end - self._asked)
            self._requests.append(
                (session.send(READ, text(self._handle), long(self._asked), number(count)), count)
            )
            self._asked += count
        request, count = self._requests.popleft()
        try:
            packet: Packet = session.answer(request, DATA)
        except Refused as error:
            if error.code != END:
                raise
            raise OperationFailed(f"{self._key} ends too early at byte {self._position}.") from None
        block = packet.text()
        if not block or len(block) > count:
            raise Gone("it answers what was not asked")
        if len(block) < count:
            self._ask_again(session, self._position + len(block))
        return block

    def _ask_again(self, session: Session, position: int) -> None:
        """The server gave less than it was asked for: what was asked for behind it leaves a gap."""
        for request, _count in self._requests:
            session.forget(request)
        self._requests.clear()
        self._asked = position

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            for request, _count in self._requests:
                session.forget(request)
            with suppress(Gone):  # With the connection its handles are gone, too.
                session.forget(session.send(CLOSE, text(self._handle)))
        super().close()
