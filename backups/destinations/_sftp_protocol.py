"""The SFTP protocol, version 3, over a channel: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL §4.

paramiko's own client is not used: it forgets the answers to the last pipelined writes (a full disk looks like
success), does not tell which extensions the server offers, and knows neither fsync nor statvfs.
"""

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 1, 3, 4, 5, 6, 7, 8
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, RENAME, EXTENDED = 11, 12, 13, 14, 15, 18, 200
VERSION, STATUS, HANDLE, DATA, NAME, ATTRIBUTES, EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201

OK, END, NO_SUCH_FILE, DENIED, FAILURE, UNSUPPORTED = 0, 1, 2, 3, 4, 8
FOR_READING, FOR_WRITING, CREATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x20
HAS_SIZE, HAS_OWNER, HAS_MODE, HAS_TIMES = 1, 2, 4, 8

# What every server takes (the draft, §3: 34000 bytes for a packet), and the most that we send or ask for.
SMALLEST_BLOCK, LARGEST_BLOCK = 32_768, 255 * 1024
LARGEST_PACKET = 1 << 20


class Gone(Exception):
    """The connection is broken, or the server says what no server may say. `text` says which."""


class Refused(Exception):
    """The server answered with an error: `code` of the draft, §7, and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Attributes:
    """Of a file; None where the server does not tell. `modified` in seconds since 1970."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None


class Packet:
    """The fields of a packet, read one after the other. Raises Gone where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, count: int) -> bytes:
        piece = self._content[self._position : self._position + count]
        if len(piece) != count:
            raise Gone("it sends packets that are cut off")
        self._position += count
        return piece

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def long(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def text(self) -> bytes:
        return self.take(self.number())

    def more(self) -> bool:
        return self._position < len(self._content)

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.long() if flags & HAS_SIZE else None
        if flags & HAS_OWNER:
            self.take(8)
        mode = self.number() if flags & HAS_MODE else None
        modified = (self.number(), self.number())[1] if flags & HAS_TIMES else None
        if flags & 0x80000000:
            for _extension in range(self.number()):
                self.text(), self.text()
        return Attributes(size, mode, modified)


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def long(value: int) -> bytes:
    return struct.pack(">Q", value)


def mode(value: int) -> bytes:
    """Attributes that hold nothing but a mode."""
    return number(HAS_MODE) + number(value)


class Session:
    """Requests and answers, which may be far apart: `send` returns the number by which `answer` finds its answer.

    Threads may share it. Every answer is kept until it is asked for, so callers bound what they have under way.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._last = 0
        self._answers: dict[int, tuple[int, bytes]] = {}
        self._forgotten: set[int] = set()
        self.broken = False
        self.extensions: set[bytes] = set()
        self.block = SMALLEST_BLOCK
        self._greet()

    def _greet(self) -> None:
        self._write(bytes([INIT]) + number(3))
        kind, packet = self._receive()
        if kind != VERSION or packet.number() < 3:
            raise Gone("it does not speak SFTP")
        while packet.more():
            self.extensions.add(packet.text())
            packet.text()
        if b"limits@openssh.com" in self.extensions:
            self.block = self._limit()

    def _limit(self) -> int:
        limits = self.call(EXTENDED, text(b"limits@openssh.com"), expected=EXTENDED_REPLY)
        _packet, reading, writing, _handles = (limits.long() for _limit in range(4))
        return max(SMALLEST_BLOCK, min(LARGEST_BLOCK, reading or SMALLEST_BLOCK, writing or SMALLEST_BLOCK))

    def send(self, kind: int, *fields: bytes) -> int:
        with self._sending:
            self._last = (self._last + 1) & 0xFFFFFFFF
            self._write(bytes([kind]) + number(self._last) + b"".join(fields))
            return self._last

    def answer(self, request: int, expected: int = STATUS) -> Packet:
        """The answer to `request`. Raises Refused when it is an error, Gone when the connection breaks."""
        kind, content = self._wait(request)
        packet = Packet(content)
        if kind == STATUS:
            code = packet.number()
            if code != OK or expected != STATUS:
                told = packet.text().decode(errors="replace") if packet.more() else ""
                raise Refused(code, told[:200])
        elif kind != expected:
            raise Gone("it answers what was not asked")
        return packet

    def forget(self, request: int) -> None:
        """Throw its answer away when it comes."""
        with self._receiving:
            if self._answers.pop(request, None) is None:
                self._forgotten.add(request)

    def call(self, kind: int, *fields: bytes, expected: int = STATUS) -> Packet:
        return self.answer(self.send(kind, *fields), expected)

    def _wait(self, request: int) -> tuple[int, bytes]:
        with self._receiving:
            while request not in self._answers:
                kind, packet = self._receive()
                found = packet.number()
                if found in self._forgotten:
                    self._forgotten.discard(found)
                else:
                    self._answers[found] = (kind, packet._content[4:])
            return self._answers.pop(request)

    def _receive(self) -> tuple[int, Packet]:
        size = int.from_bytes(self._read(4), "big")
        if not 1 <= size <= LARGEST_PACKET:
            raise Gone("it does not speak SFTP")
        content = self._read(size)
        return content[0], Packet(content[1:])

    def _read(self, count: int) -> bytes:
        pieces = []
        while count:
            piece = self._tried(lambda left=count: self._channel.recv(left))  # type: ignore[misc]
            if not piece:
                self._break()
                raise Gone("it ended the connection")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _write(self, content: bytes) -> None:
        self._tried(lambda: self._channel.sendall(number(len(content)) + content))

    def _tried(self, act: Callable[[], Any]) -> Any:
        """What `act` returns. After any error nothing more can be understood on this channel."""
        from paramiko import SSHException

        try:
            return act()
        except TimeoutError:
            self._break()
            raise Gone("it does not answer in time") from None
        except (OSError, EOFError, SSHException):
            self._break()
            raise Gone("the connection broke") from None

    def _break(self) -> None:
        self.broken = True
        self._channel.get_transport().close()
