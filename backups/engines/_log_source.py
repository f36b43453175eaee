"""What the archive of a server's log needs to know of one kind of server.

An instance belongs to one archiver, and is used by one thread at a time. What runs it: backups.logs.archive.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from backups.engines.base import Finding
from backups.logs.chain import Mark, Position, Segment
from drcenter.errors import OperationFailed
from drcenter.process import Command


class Broken(OperationFailed):
    """The log cannot be continued where its archive ends; the message is the reason, as a sentence. A new incarnation
    begins, and what lies between the two is in no segment."""


class DamagedLog(OperationFailed):
    """Bytes that arrived are not what the server's log can be (a checksum of an event is wrong)."""


@dataclass(frozen=True)
class Received:
    """One log file as far as it has arrived: `size` bytes of it are good to be stored; `final`: no more will come."""

    log: str
    path: Path
    size: int
    final: bool


@dataclass(frozen=True)
class Cut:
    """Where a segment ends: behind a whole transaction, or at least a whole record. `bounds`: as in `Segment`."""

    end: int
    bounds: Mapping[str, str] = field(default_factory=dict)


class LogSource(ABC):
    """How the log of one server is received, cut into segments, and compared with its clock."""

    @abstractmethod
    def preflight(self) -> list[Finding]:
        """What is in the way of archiving this server's log (`caps`: it cannot be archived like this), and what would
        make less of it; each with the exact setting or GRANT. Raises OperationFailed when it is out of reach."""

    def prepare(self) -> None:
        """Before each connection: make what the server needs (a replication slot). Default: nothing."""
        return

    def stored(self, position: Position) -> None:
        """Everything up to there is at every destination: the server may let go of it. Default: nothing."""
        return

    def unwell(self) -> None:
        """Nothing can be received at the moment. What the source does about it by its policy, it tells by raising
        OperationFailed. Default: nothing."""
        return

    def let_go(self, seconds: float) -> str:
        """Nothing was received for so long. A server whose COMMITs wait for the archive goes on without it, by the
        source's policy: what was done, as a sentence; "" if nothing. Raises OperationFailed when that is not allowed.
        Default: no server waits."""
        return ""

    def release(self) -> None:
        """The stream was switched off for good: remove what `prepare` made. Default: nothing."""
        return

    @abstractmethod
    def identity(self) -> str:
        """Small letters, digits and dashes, at most 40: what tells this server (and timeline) from others that may
        answer at the same address. It is the beginning of the incarnation's name."""

    @abstractmethod
    def first(self, wanted: Position | None, *, oldest: bool) -> str:
        """The log file that a new incarnation begins with: that of `wanted` (a base's position) if the server still has
        it; otherwise the `oldest` that it has, or the one that is being written, so that nothing is missing for a base
        that is taken from now on."""

    @abstractmethod
    def resume(self, last: Segment) -> str:
        """The log file to receive from, so that what follows `last` comes, and mostly `last` itself once more.

        Raises Broken when the server has not got it any more.
        """

    @abstractmethod
    def command(self, directory: Path, log: str) -> Command:
        """Receives the log from the beginning of `log` into files in `directory`, which is empty; runs until it is
        killed, or the connection is lost. What it holds in memory only must be little."""

    @abstractmethod
    def received(self, directory: Path) -> Sequence[Received]:
        """The log files in `directory`, in the order of the log."""

    @abstractmethod
    def cut(self, file: Received, begin: int, most: int) -> Cut | None:
        """How far from `begin` the next segment goes: to the last boundary among what has arrived, and no further
        than about `most` bytes if a boundary is there. None: nothing whole has arrived since. Raises DamagedLog."""

    @abstractmethod
    def watched(self) -> AbstractContextManager[Callable[[], Mark]]:
        """A small connection of its own; each call says where the server's log ends now. Raises OperationFailed."""
