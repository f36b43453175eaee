"""An archive of a real server's binary log, made by the test itself: a writer, marks, and segments in storage."""

import hashlib
import io
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyrage
import zstandard

from backups.logs.chain import Mark, Position
from backups.logs.records import written_marks
from backups.models import Destination, LogIncarnation, LogPlace, LogSegment, LogStream, Plan, Source
from backups.servers.mariadb import Server

KEPT = 40
SCHEMA = (
    "CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(200), at DATETIME(6)) ENGINE=InnoDB",
    "CREATE TABLE totals (name VARCHAR(20) PRIMARY KEY, value BIGINT) ENGINE=InnoDB",
    "INSERT INTO totals VALUES ('transactions', 0), ('sum', 0)",
)


def now() -> datetime:
    return datetime.now(UTC)


def expected(number: int) -> tuple[list[int], dict[str, int]]:
    """What the database holds after that many transactions."""
    ids = list(range(max(1, number - KEPT + 1), number + 1))
    return ids, {"transactions": number, "sum": number * (number + 1) // 2}


class Quiet:
    """A job's context that tells nobody anything."""

    children = None

    def phase(self, *_: object) -> None: ...
    def log(self, *_: object) -> None: ...
    def advance(self, count: int) -> None: ...
    def check(self) -> None: ...


@dataclass
class Writer:
    """Commits numbered transactions, each several statements, and keeps its own record of when."""

    server: Server
    database: str
    begun: list[datetime] = field(default_factory=list)
    acknowledged: list[datetime] = field(default_factory=list)

    @contextmanager
    def writing(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._write, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _write(self, stop: threading.Event) -> None:
        dice = random.Random(len(self.begun))
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                number = len(self.begun) + 1
                self.begun.append(now())
                self._transaction(cursor, number, dice)
                self.acknowledged.append(now())
                if dice.random() < 0.02:
                    cursor.execute("FLUSH BINARY LOGS")

    def _transaction(self, cursor: Any, number: int, dice: random.Random) -> None:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO orders VALUES (%s, %s, NOW(6))", (number, "é" * dice.randrange(100)))
        # The statement of the commit comes later than the first: event times are of no use.
        time.sleep(dice.random() * 0.02)
        cursor.execute("UPDATE totals SET value = value + 1 WHERE name = 'transactions'")
        cursor.execute("UPDATE totals SET value = value + %s WHERE name = 'sum'", (number,))
        cursor.execute("DELETE FROM orders WHERE id <= %s", (number - KEPT,))
        cursor.execute("COMMIT")

    def between(self, surely: datetime, atmost: datetime) -> tuple[int, int]:
        """The least and the most transactions that a state of then may have."""
        least = sum(1 for moment in self.acknowledged if moment < surely)
        return least, sum(1 for moment in self.begun if moment < atmost)


def unused(content: bytes) -> bytes:
    """A log file without the flag by which the server says that it is still writing it; replicas never see that."""
    return content[:21] + bytes([content[21] & ~1]) + content[22:]


@dataclass
class Archive:
    """Marks of a server's log while it is written, and its files as segments at a destination."""

    server: Server
    recipient: str
    marks: list[Mark] = field(default_factory=list)

    @contextmanager
    def watching(self, pause: float = 0.2) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop, pause))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.mark()

    def _watch(self, stop: threading.Event, pause: float) -> None:
        while not stop.wait(pause):
            self.mark()

    def mark(self) -> None:
        with self.server.connect() as connection, connection.cursor() as cursor:
            begin = now()
            cursor.execute("SHOW MASTER STATUS")
            ((log, offset, *_rest),) = cursor.fetchall()
            self.marks.append(Mark(begin, Position(log, offset), now()))

    def store(
        self, source: Source, plan: Plan, destinations: list[Destination], pieces: int = 3
    ) -> LogStream:
        """The log as it lies in the server's directory, up to the last mark, cut into segments at marks."""
        stream = LogStream.objects.create(source=source, plan=plan)
        life = LogIncarnation.objects.create(stream=stream, name="1-test")
        previous, number = "", 0
        for file in sorted((self.server.directory / "data").glob("binlog.[0-9]*")):
            content, begin = unused(file.read_bytes()), 0
            marks = [one for one in self.marks if one.position.log == file.name]
            ends = sorted(
                {one.position.offset for one in marks[:: max(1, len(marks) // pieces)]} | {len(content)}
            )
            for end in ends:
                held = tuple(one for one in marks if begin < one.position.offset <= end)
                number += 1
                key = f"{source.system.slug}/logs/{source.name}/{life.name}/{number:012}-{file.name}-{begin}-{end}.zst.age"
                previous = self._segment(
                    stream,
                    life,
                    destinations,
                    key,
                    content[begin:end],
                    file.name,
                    begin,
                    held,
                    number,
                    previous,
                )
                begin = end
        for destination in destinations:
            LogPlace.objects.create(stream=stream, destination=destination, through=number)
        return stream

    def _segment(
        self, stream: LogStream, life: LogIncarnation, destinations: list[Destination], key: str, content: bytes,
        log: str, begin: int, marks: tuple[Mark, ...], number: int, previous: str,
    ) -> str:  # fmt: skip
        plain = zstandard.compress(content)
        stored = pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(self.recipient)])
        for destination in destinations:
            destination.build().put(key, io.BytesIO(stored), expected_size=len(stored))
        digest = hashlib.sha256(stored).hexdigest()
        LogSegment.objects.create(
            stream=stream, incarnation=life, number=number, last=number, log=log, begin=begin, end=begin + len(content),
            final=True, marks=written_marks(marks), previous=previous, key=key, digest=digest,
            stored_size=len(stored), recipients=[self.recipient],
        )  # fmt: skip
        return digest
