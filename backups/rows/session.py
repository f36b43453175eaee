"""What comparing and writing rows asks of a database: `Engine.rows()` opens one of these."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from backups.rows.merge import Row
from backups.rows.shape import Column, Shape
from backups.rows.statements import Dialect, Statement
from backups.rows.values import Values
from drcenter.errors import OperationFailed

# A table's rows fall into so many buckets, by the digest of their keys.
BUCKETS = 1 << 16
# A query names no more of them; beyond that all rows are read.
NAMED_BUCKETS = 6000


class Refused(OperationFailed):
    """The server refused one statement: a foreign key, another unique key, a check. `linked`: a foreign key."""

    def __init__(self, message: str, *, linked: bool = False) -> None:
        super().__init__(message)
        self.linked = linked


class OutcomeUnknown(OperationFailed):
    """The connection was lost while the transaction was committed."""


@dataclass(frozen=True)
class Bucket:
    """How many rows, and a checksum that does not depend on their order; None: it could not be computed."""

    count: int
    checksum: str | None


class Session(ABC):
    """One connection. For reading: everything is as at its beginning, whatever others commit meanwhile."""

    dialect: Dialect
    # Another thread may ask it while this one asks another session.
    shared = True

    @abstractmethod
    def tables(self) -> list[str]:
        """The names of the tables that have rows, as `shape` takes them."""

    @abstractmethod
    def shape(self, table: str) -> Shape:
        """Raises OperationFailed when there is no such table, or the user may not read it."""

    @abstractmethod
    def buckets(self, table: str, columns: Sequence[Column], key: Sequence[int]) -> dict[int, Bucket]:
        """All rows in one query; those without any row are left out. Memory: BUCKETS entries."""

    @abstractmethod
    def rows(
        self, table: str, columns: Sequence[Column], key: Sequence[int], buckets: Sequence[int] | None
    ) -> Iterator[Row]:
        """The rows of these buckets, or all, streamed in the order of their digests. Nothing else may be asked of
        this session until it ends."""

    @abstractmethod
    def lookup(
        self, table: str, columns: Sequence[Column], by: Sequence[Column], values: Sequence[Values]
    ) -> Iterator[Values]:
        """The rows that have one of `values` in the columns `by`."""

    @abstractmethod
    def count(self, statement: Statement) -> int:
        """The number that a query gives."""

    @abstractmethod
    def execute(self, statement: Statement) -> int:
        """Run it; how many rows it has matched. Raises Refused, without any effect, when the server refuses it."""

    @abstractmethod
    def transaction(self, *, quiet: bool = False) -> AbstractContextManager[None]:
        """One transaction: committed at the end, rolled back on any error. Raises OutcomeUnknown when the connection
        was lost at the end. `quiet`: without the triggers of the tables, where the server and the user's rights
        allow that."""
