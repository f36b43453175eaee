"""Loads a dump into a scratch server over several connections: rows side by side, plain indexes after their rows."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from queue import Queue
from typing import BinaryIO

import pymysql

from backups.engines._mariadb_commands import Login, Tool, restore_command
from backups.engines._mariadb_connect import Connection, connect, connected, execute, explained
from backups.engines._mariadb_split import Begin, End, Piece, Rows, Splitter, Text
from drcenter.errors import OperationFailed
from drcenter.pipes import write_all
from drcenter.process import PIPE, Child, start

BLOCK = 1 << 20
CONNECTIONS = 2
# Statements of up to 1 MiB that wait; one that is larger waits alone all the same.
WAITING = 6
# As the head of a dump sets them for its own session.
SESSION = (
    "SET SESSION time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO', unique_checks=0, foreign_key_checks=0,"
    " sql_log_bin=0"
)


def loader(tool: Tool, login: Login, database: str) -> Callable[[BinaryIO], None]:
    """What takes a dump. Its client runs all but the rows that may be inserted in any order, which go over connections
    of their own. Raises OperationFailed for what the server, or the client, refuses."""

    def consume(stream: BinaryIO) -> None:
        command = restore_command(tool, login, database)
        command = replace(command, argv=(*command.argv, "--unbuffered", "--skip-column-names"))
        # The client ends first, and with it the locks that an inserter may wait for.
        with _Inserters(login, database) as inserters, start(command, stdin=PIPE) as child:
            session, splitter = _Session(child), Splitter()
            for block in iter(lambda: stream.read(BLOCK), b""):
                _run(splitter.feed(block), session, inserters)
            _run(splitter.finish(), session, inserters)
            inserters.settle()
            session.end()

    return consume


def _run(pieces: Iterator[Piece], session: "_Session", inserters: "_Inserters") -> None:
    for piece in pieces:
        if isinstance(piece, Text):
            if piece.alone:
                session.flush()  # What it holds back may be the end of a lock.
                inserters.settle()
            session.write(piece.content)
        elif isinstance(piece, Begin):
            session.settle()
            inserters.begin(piece.after)
        elif isinstance(piece, Rows):
            inserters.insert(piece.statement)
        elif isinstance(piece, End):
            session.commit()
            inserters.end()


class _Session:
    """The client, which runs the text in order and says, when it is asked, how far it is."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._number = 0
        self._waiting = bytearray()
        self._behind = False

    def write(self, text: bytes) -> None:
        self._waiting += text
        self._behind = True
        if len(self._waiting) > BLOCK:
            self.flush()

    def flush(self) -> None:
        text, self._waiting = bytes(self._waiting), bytearray()
        try:
            write_all(self._child.stdin, text)
        except BrokenPipeError:
            self._stopped()

    def settle(self) -> None:
        """Wait until everything that was written has been run."""
        self._number += 1
        word = f"drcenter-{self._number}".encode()
        self.write(b"\nSELECT '" + word + b"';\n")
        self.flush()
        said = b""
        while not (said == word + b"\n" or said.endswith(b"\n" + word + b"\n")):
            block = self._child.stdout.read(1 << 16)
            if not block:
                self._stopped()
            said = (said + block)[-1000:]
        self._behind = False

    def commit(self) -> None:
        """The same; rows that it inserted itself, being too large to wait for, let go of their table."""
        if self._behind:
            self.write(b"\nCOMMIT;\n")
            self.settle()

    def _stopped(self) -> None:
        self._child.wait_good()
        raise OperationFailed(f"{self._child.command.tool} stopped reading before the end.")

    def end(self) -> None:
        self.flush()
        self._child.stdin.close()
        while self._child.stdout.read(1 << 16):
            continue
        self._child.wait_good()


@dataclass
class _Table:
    """The table whose rows come: how many statements are under way, and what follows the last one."""

    after: bytes
    under_way: int = 1  # The stream itself, until its end.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self) -> bool:
        """Tell of one that has ended; True for the last one."""
        with self.lock:
            self.under_way -= 1
            return not self.under_way


class _Inserters:
    """Connections that insert rows side by side. The first error of one ends all. A context manager."""

    def __init__(self, login: Login, database: str) -> None:
        self._login, self._database = login, database
        self._queue: Queue[tuple[_Table, bytes] | None] = Queue(WAITING)
        self._threads: list[threading.Thread] = []
        self._connections: list[Connection] = []
        self._error: BaseException | None = None
        self._table = _Table(b"")

    def __enter__(self) -> "_Inserters":
        return self

    def begin(self, after: bytes) -> None:
        self._start()
        self._table = _Table(after)

    def insert(self, statement: bytes) -> None:
        with self._table.lock:
            self._table.under_way += 1
        self._put(self._table, statement)

    def end(self) -> None:
        self._put(self._table, b"")

    def settle(self) -> None:
        """Wait until all rows, and what follows them, are there."""
        self._queue.join()
        self._raise()

    def _put(self, table: _Table, statement: bytes) -> None:
        self._raise()
        self._queue.put((table, statement))

    def _raise(self) -> None:
        if self._error is not None:
            with explained(self._login):
                raise self._error

    def _start(self) -> None:
        while len(self._connections) < CONNECTIONS:
            with explained(self._login):
                connection = connect(self._login, self._database)
                self._connections.append(connection)
                execute(connection, SESSION)
            thread = threading.Thread(target=self._work, args=(connection,), name="insert")
            self._threads.append(thread)
            thread.start()

    def _work(self, connection: Connection) -> None:
        while (task := self._queue.get()) is not None:
            table, statement = task
            try:
                if self._error is None:
                    _run_both(connection, table, statement)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
                self._error = self._error or error
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self._error = self._error or OperationFailed("The load was given up.")
            self._interrupt()
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            with contextlib.suppress(pymysql.err.Error):
                connection.close()

    def _interrupt(self) -> None:
        """An index that is being made may take long; nobody wants it any more."""
        with contextlib.suppress(OperationFailed), connected(self._login) as connection:
            for one in self._connections:
                execute(connection, f"KILL {int(one.thread_id())}")  # type: ignore[no-untyped-call]


def _run_both(connection: Connection, table: _Table, statement: bytes) -> None:
    """The statement (none at the end of the rows); after the table's last one, what follows."""
    if statement:
        connection.query(statement)  # type: ignore[arg-type]  # bytes pass as they are
    if table.done() and table.after:
        connection.query(table.after)  # type: ignore[arg-type]
