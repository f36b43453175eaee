"""What every engine promises.

An engine knows one kind of source. Its options (a form) say which; secrets in them are references.
It builds commands and never runs them: whoever takes, proves or restores runs what it returns.
The only things it opens itself are connections of a database driver, for the snapshot and the witness.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from django import forms

from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import with_defaults
from drcenter.process import Command
from drcenter.secrets import Secret

if TYPE_CHECKING:
    from backups.engines._log_source import LogSource
    from backups.logs.chain import Position as LogPosition
    from backups.rows.session import Session

# What yields the plain bytes of a part: a command's standard output, or bytes made here.
Producer = Command | Callable[[], Iterator[bytes]]
# What takes the plain bytes of a part back: a command's standard input, or a function.
Consumer = Command | Callable[[BinaryIO], None]


# Of a query of a check: rows that are looked at, and seconds that it may take.
ROWS, ASK_SECONDS = 100, 120
# Foreign keys in one sentence.
NAMED_LINKS = 5


class NoScratch(OperationFailed):
    """No fitting place to prove a set in; the message is the reason that the set will show."""


class Gone(OperationFailed):
    """There is nothing left of the source: no file, no directory, no such database."""


class Untouched(OperationFailed):
    """Raised by `prepare`: what is there could not be cleared, and nothing of it was changed."""


class NeedsFull(OperationFailed):
    """No increment can be taken: the message is the reason, as a sentence. A full set can."""


def is_gone(path: str | Path) -> bool:
    """True only if the system says that nothing is there: a refusal, or a mount that is dead, is not nothing."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class Finding:
    """Something an operator should know about a source before, or after, it is dumped.

    `caps` True: the dump cannot be complete (a right is missing, a thing the tool leaves out), so
    a set with it is never better than *stored* and is shown in red. `hint` is the exact GRANT or setting.
    """

    message: str
    hint: str = ""
    caps: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"message": self.message, "hint": self.hint, "caps": self.caps}


def crossing_finding(links: Sequence[str]) -> Finding:
    """What is to be known of foreign keys ("orders → customers") of which one table alone is in the set."""
    more = f" and {len(links) - NAMED_LINKS} more" if len(links) > NAMED_LINKS else ""
    return Finding(
        f"Foreign keys lead out of the chosen tables, or into them: {', '.join(links[:NAMED_LINKS])}{more}.",
        "After a restore of these tables alone, rows may refer to others that are not there: take both, or look.",
    )


@dataclass(frozen=True)
class Door:
    """How an application reaches a scratch place: through `path`, a server's socket or the file itself.

    `kind`: "mysql", "pgsql" or "sqlite". The password is one of a scratch server, and ends with it.
    """

    kind: str
    path: str
    database: str = ""
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True)
class Inspection:
    """What is there: bytes to expect in a dump, versions, and findings."""

    size: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()

    @property
    def capped(self) -> bool:
        return any(finding.caps for finding in self.findings)


@dataclass(frozen=True)
class PartSpec:
    """One object to store: its name within the source, its producers in order, concatenated.

    `suffix` is the kind of the plain bytes ("sql", "tar", "sqlite3"), as the manifest and restore.sh know it.
    `marker` cuts the plain bytes into named sections (one digest each): a pattern of bytes with one group,
    matched at the start of a line; the group names the section that starts there.
    `volatile` matches whole lines that differ in each dump (a random key) and count for no section.
    `watch` sees every block until it returns True: a lock can be released once the dump has its snapshot.
    """

    name: str
    suffix: str
    producers: tuple[Producer, ...]
    marker: bytes | None = None
    volatile: bytes | None = None
    watch: Callable[[bytes | bytearray], bool] | None = None
    # Taken again while the snapshot is open, it is of the same moment, or the snapshot's moment begins anew with it.
    again: bool = False
    # The least number of plain bytes of a dump that is no failure; an empty dump always fails.
    smallest: int = 1


def _go_on() -> None:
    """Nobody waits for anybody."""


class Snapshot(ABC):
    """One moment of the source, held open while its parts are read. Made by `Engine.snapshot()`."""

    # Of an increment: the names (paths) that the set before has, and this one has not any more. Its parts, and its
    # witness, are of what has changed since. None: the snapshot is of everything.
    removed: Sequence[str] | None = None
    # The moment is taken by `parts`, which calls `ready` right before: sources that are read side by side wait there
    # for each other. False: it was taken as the snapshot was opened, or there is none.
    later = False
    # Of one that is taken `later`: when it was, at the latest; None: not yet.
    taken_at: datetime | None = None
    # Set by whoever reads the parts, before the first is asked for.
    ready: Callable[[], None] = staticmethod(_go_on)

    @abstractmethod
    def parts(self) -> Iterator[PartSpec]:
        """The parts, in the order in which they are restored. Each is stored before the next is asked for."""

    @abstractmethod
    def witness(self) -> Witness:
        """What the source holds at this moment. Called after the last part."""

    @property
    @abstractmethod
    def position(self) -> Mapping[str, Any]:
        """Where in the source's log the moment is (binlog file and position, LSN); may be empty."""

    def index(self) -> bytes | None:
        """What `Engine.since` needs to know of this set; asked for after the last part. None: it knows no increments."""
        return None

    def findings(self) -> Sequence[Finding]:
        """What turned up while the parts were read (a file that kept changing)."""
        return ()


class StatementLog(ABC):
    """How a scratch place takes the log of its source's server as statements. Made by `Engine.statement_log()`.

    `database`: the only one that is replayed onto it; None: all of them, since the place holds the whole server.
    """

    database: str | None

    @abstractmethod
    def begin(self, uses: Iterable[str]) -> None:
        """Make the server ready; the databases `uses` have to be there, since sessions of the log use them."""

    @abstractmethod
    def printed(self, files: Sequence[str], start: int, stop: int, *, whole: bool) -> Command:
        """Prints statements from a byte of the first file to a byte of the last. `whole`: of every database."""

    @abstractmethod
    def client(self) -> Command:
        """Takes them on its standard input, and ends with an error at the first that fails."""


class Engine(ABC):
    """One kind of source. Instances are cheap: nothing is opened before a method is called."""

    label: str
    Options: type[forms.Form]
    # Executables that a backup, and a restore, need; `drcenter.process.find` names the package of a missing one.
    required_tools: tuple[str, ...] = ()
    # A restore over production removes what the set does not have, file by file: people are told before.
    removes_strangers = False
    # A set of some of its tables alone can be taken (`only`).
    by_table = False
    # A place beside is a path on this machine (by default below the DR Center's own state), not a name on a server.
    beside_on_disk = False
    # Everything that `snapshot` gives is as at its beginning; otherwise it is read over some time.
    one_moment = False
    # A set holds everything of its server, so that its log can be replayed for every source of the server.
    whole_server = False
    # `since` can tell what has changed.
    incremental = False
    # Its rows can be compared with those of a set, and put back one by one (`rows`).
    has_rows = False
    # There can be a scratch place: what was stored can be restored without touching the original.
    provable = True
    # Of a scratch place: what of its isolation this machine did not allow, in sentences for the verification.
    reservations: Sequence[str] = ()

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = with_defaults(self.Options, options)

    def replaced(self, **changes: Any) -> Self:
        """The same engine with some options changed."""
        return type(self)(self.options | changes)

    def only(self, tables: Sequence[str]) -> Self:
        """The same source, narrowed to these tables; to all of them for none. Only where `by_table`."""
        return self.replaced(tables=list(tables))

    def tables(self) -> list[str]:
        """Every table that `only` takes. Raises OperationFailed when the source is out of reach."""
        return []

    @property
    @abstractmethod
    def target(self) -> str:
        """Where the data are, in one line an operator recognises: `database app at db1:3306`, a path. No secret."""

    @property
    def server(self) -> str:
        """The server that holds it, told from every other: sources with the same one share its log. "": it has none."""
        return ""

    @property
    def place(self) -> str:
        """What the `--target` of restore.sh has to be to put this source back where it was: a database's name, an
        absolute path. Empty: there is no such place (the output of a command). Not asked of what is `for_reading`."""
        return ""

    @property
    @abstractmethod
    def host(self) -> str:
        """The host that a person has to type before this source is overwritten."""

    @property
    def on_disk(self) -> str:
        """The path of this place on this machine; empty for one that has none."""
        return str(self.options.get("path") or "")

    @property
    def for_reading(self) -> str:
        """Why a restore over production leaves this source out, in a sentence; empty: it does not."""
        return ""

    @abstractmethod
    def inspect(self) -> Inspection:
        """Look without changing anything. Raises OperationFailed (why, and what to do) when out of reach."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open one moment. Raises OperationFailed when it cannot be had."""

    def since(self, index: bytes, share: float) -> AbstractContextManager[Snapshot]:
        """Open one moment, of which only what has changed is stored since the set whose snapshot gave `index`.

        Raises NeedsFull where there is no telling, or when more than `share` (0 to 1) of the bytes have changed.
        """
        raise NeedsFull("This kind of source knows no increments.", permanent=True)

    def logs(self, token: str) -> "LogSource | None":
        """How this source's log is archived continuously; None: it has none. `token`: what tells this archiver from
        every other at the same server (small letters and digits)."""
        return None

    @abstractmethod
    def witness(self) -> Witness:
        """What this place holds right now: for scratch places and restored targets."""

    @abstractmethod
    def consumer(self, part: str, suffix: str) -> Consumer:
        """What takes the plain bytes of that part, to restore into this place."""

    @abstractmethod
    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager["Engine"]:
        """An empty place of the same flavour and version, gone when the context ends.

        `workspace` is an empty directory of mode 0700 of the caller, `facts` is what `inspect` found on the
        source when the set was taken. Raises NoScratch with the reason.
        """

    @abstractmethod
    def beside(self, name: str) -> "Engine":
        """This engine, pointed at another database or directory called `name` near the original, or at an
        absolute path where `beside_on_disk`."""

    def check_may_overwrite(self, witness: Witness | None = None) -> None:
        """Before a restore over production does anything: raises OperationFailed, with what to grant, when the user
        lacks a right without which it cannot go through: to remove what is there, and to make what `witness` has
        (None: it is not known yet). Changes nothing. Default: there is nothing to ask."""
        return

    @abstractmethod
    def prepare(self, *, overwrite: bool) -> None:
        """Make this place ready for `consumer`: create it. With `overwrite`, clear what is there.

        Without `overwrite`, raises OperationFailed when it exists and is not empty: nothing is lost.
        Raises Untouched when others use what would be cleared (a lock), or the first drop is refused: nothing is
        lost either.
        """

    def make_room(self, witness: Witness | None) -> None:
        """Before the first part is restored over what is there: remove what is in its way. Default: nothing."""
        return

    def expect(self, witness: Witness | None) -> None:
        """Before the first part: what the set says that the source held (SQLite: its rights). Default: nothing."""
        return

    def finish(self, witness: Witness | None) -> None:
        """After the last part was restored (files: remove what the set does not have). Default: nothing."""
        return

    def log_positions(self, position: Mapping[str, Any]) -> "tuple[LogPosition, LogPosition | None] | None":
        """What a snapshot gave as `position`, as a place in the log: where a replay starts, and how far it has to go
        before the data are consistent (None: they are). None: nothing can be replayed onto such a set."""
        return None

    def replay_files(self, files: "Sequence[Path]", stop: "LogPosition", moment: datetime | None) -> int:
        """Of a scratch place that was not looked at yet, and has no `statement_log`: let its server replay these log
        files up to `stop`, or with `moment` up to the last commit of then. How many transactions it commits."""
        raise OperationFailed("Onto this kind of source no log can be replayed.", permanent=True)

    def inside(self, wanted: "Engine") -> "Engine":
        """Of a scratch place of a `whole_server`: what `wanted` is on the original, in there."""
        return self

    def access(self) -> str:
        """Of a scratch place: what somebody types on this machine to look at it, in one line, without a secret."""
        return self.target

    def statement_log(self) -> StatementLog | None:
        """Of a scratch place: how the log of its source's server is replayed onto it. None: not as statements."""
        return None

    def answer(self) -> None:
        """Raises OperationFailed when the server of a scratch place is gone. Default: there is none."""
        return

    def withheld(self, name: str) -> str:
        """Why this place was not given an object of the set on purpose; empty: it was. For copies beside, which
        share a server with the original: accounts are the whole server's."""
        return ""

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The first rows that a query gives in a scratch place, which it cannot change; at most ROWS of them, within
        ASK_SECONDS. Raises OperationFailed, also for what takes no query."""
        raise OperationFailed(f"{self.label} takes no SQL.", permanent=True)

    def door(self) -> Door | None:
        """How an application reaches this scratch place; None: it is no database."""
        return None

    def drop(self) -> None:
        """Remove what `prepare` created, after a failed restore beside. Default: nothing."""
        return

    def rows(self, *, write: bool = False) -> AbstractContextManager["Session"]:
        """A session that reads rows as at its beginning, or one that writes them. Only where `has_rows`."""
        raise OperationFailed("This kind of source has no rows.", permanent=True)

    def counts(self, names: Sequence[str]) -> dict[str, int]:
        """Rows of each named table (files: entries below each path), for the check after a restore."""
        return {}
