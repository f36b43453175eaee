"""SQLite: one file, copied in one step while its application goes on."""

import dataclasses
import errno
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backups.engines._sqlite_connection import connected, journal_mode, require_database
from backups.engines._sqlite_replace import BLOCK, COMPANIONS, ENDING, OWNER, Rights, replace
from backups.engines._sqlite_rows import opened as rows_opened
from backups.engines._sqlite_tables import keep_only, links, listed, put_back, require, require_unused
from backups.engines._sqlite_witness import compute, is_damaged, quoted
from backups.engines._temporary import protected_directory
from backups.engines.base import (
    ASK_SECONDS,
    ROWS,
    Consumer,
    Door,
    Engine,
    Finding,
    Gone,
    Inspection,
    NoScratch,
    PartSpec,
    Snapshot,
    is_gone,
)
from backups.recovery import restored
from backups.rows.session import Session
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField

ROLLBACK_MODE = Finding(
    "The database is not in WAL mode: nobody can write to it while it is copied (about 0.5 s for 300 MB).",
    "PRAGMA journal_mode=WAL; once, on the database. Its application need not change.",
)


class Options(forms.Form):
    path = forms.CharField(
        label=_("File"), help_text=_("The absolute path of the database file."), max_length=4096
    )
    critical_tables = LinesField(
        label=_("Critical tables"),
        help_text=_("One per line; their rows are counted after a restore."),
        initial=[],
    )

    tables = LinesField(
        label=_("Tables"),
        help_text=_("Only these tables, one per line. Empty: the whole database."),
        initial=[],
    )

    def clean_path(self) -> str:
        path = str(self.cleaned_data["path"])
        if not os.path.isabs(path) or "\0" in path:
            raise ValidationError(_("Write an absolute path."))
        return path


class Plugin(Engine):
    label = "SQLite"
    Options = Options
    one_moment = True
    beside_on_disk = True
    by_table = True
    has_rows = True
    # What the set that is restored here says; None: nothing is restored.
    _expected: Witness | None = None
    _merge = False

    @property
    def path(self) -> Path:
        return Path(self.options["path"])

    @property
    def _only(self) -> list[str]:
        return list(self.options["tables"] or [])

    @property
    def target(self) -> str:
        return f"SQLite database {self.path}"

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def host(self) -> str:
        return socket.gethostname()

    def inspect(self) -> Inspection:
        restored.refuse_as_source(str(self.path))
        self._require_there()
        require_database(self.path)
        mode = journal_mode(self.path)
        with connected(self.path) as connection:
            size = _size(connection)
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[
                0
            ]
        facts = {"size": size, "tables": tables, "journal_mode": mode, "sqlite": sqlite3.sqlite_version}
        facts["root"] = os.geteuid() == 0
        findings = [] if mode == "wal" else [ROLLBACK_MODE]
        if self._only:
            require(self.path, self._only)
            findings += links(self.path, self._only)
        return Inspection(size, facts, findings)

    def tables(self) -> list[str]:
        self._require_there()
        require_database(self.path)
        return listed(self.path)

    def _require_there(self) -> None:
        if is_gone(self.path):
            raise Gone(
                f"{self.path} cannot be opened: {os.strerror(errno.ENOENT)}.",
                "Check the path, and that the user of the workers may read it.",
                permanent=True,
            )

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        require_database(self.path)
        mode = journal_mode(self.path)
        with protected_directory() as directory, connected(self.path) as source:
            findings = () if mode == "wal" else (ROLLBACK_MODE,)
            yield _Copy(source, directory / "database", findings, self._rights(), self._only)

    def witness(self) -> Witness:
        require_database(self.path)
        found = compute(self.path, only=self._only)
        return dataclasses.replace(found, objects={**found.objects, **self._rights()})

    def _rights(self) -> dict[str, str]:
        """Mode and, for a worker that is root, owner: after a restore, what of them the set tells (older ones: none)."""
        if self._only:
            return {}  # The file is others' as well.
        told = Rights.of(self.path).as_objects()
        if self._expected is not None:
            return {name: text for name, text in told.items() if name in self._expected.objects}
        return {name: text for name, text in told.items() if name != OWNER or os.geteuid() == 0}

    def expect(self, witness: Witness | None) -> None:
        self._expected = witness

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) != ("database", "sqlite3"):
            raise OperationFailed(f"A SQLite set has no part {part}.{suffix}.", permanent=True)
        path, only = self.path, self._only
        # Only where `prepare` found others to be left alone.
        merge = self._merge
        rights = Rights.told(self._expected.objects) if self._expected is not None else None

        def consume(stream: BinaryIO) -> None:
            if merge:
                put_back(path, stream, only)
            else:
                replace(path, stream, rights)

        return consume

    @contextmanager
    def _scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        if facts.get("root", False) and os.geteuid() != 0:
            raise NoScratch("The set was taken as root: owners can only be proven by a worker that is root.")
        needed, free = int(facts.get("size", 0)), shutil.disk_usage(workspace).free
        if needed > free:
            raise NoScratch(f"The proof needs {needed} bytes in {workspace}, where {free} are free.")
        place = self.replaced(path=str(workspace / "scratch.sqlite3"))
        try:
            yield place
        finally:
            place.drop()

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        return self._scratch(workspace, facts)

    def beside(self, name: str) -> "Plugin":
        if not name or (not os.path.isabs(name) and os.path.basename(name) != name) or name in {".", ".."}:
            raise OperationFailed(f"{name!r} is neither a file name nor an absolute path.", permanent=True)
        place = self.path.parent / name
        if place.resolve() == self.path.resolve():
            raise OperationFailed("This is the database itself, not a place beside it.", permanent=True)
        return self.replaced(path=str(place))

    def prepare(self, *, overwrite: bool) -> None:
        """With `overwrite` and some tables alone, what is there stays but for these."""
        self._merge = bool(overwrite and self._only and not is_gone(self.path) and self.path.stat().st_size)
        if self._merge:
            require_database(self.path)
            require_unused(self.path)
        if not overwrite and self.path.exists() and self.path.stat().st_size:
            raise OperationFailed(
                f"{self.path} exists already.", "Choose another name, or remove it first.", permanent=True
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperationFailed(f"{self.path.parent} cannot be created: {error.strerror}.") from None

    def drop(self) -> None:
        for ending in ("", ENDING, *COMPANIONS):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)

    def rows(self, *, write: bool = False) -> AbstractContextManager[Session]:
        self._require_there()
        require_database(self.path)
        return rows_opened(self.path, write=write, copied=_copy)

    def counts(self, names: Sequence[str]) -> dict[str, int]:
        require_database(self.path)
        with connected(self.path) as connection:
            queries = {name: f"SELECT count(*) FROM {quoted(name)}" for name in names}  # noqa: S608 - quoted
            return {name: int(connection.execute(query).fetchone()[0]) for name, query in queries.items()}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        deadline = time.monotonic() + ASK_SECONDS
        with connected(self.path) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            return connection.execute(query).fetchmany(ROWS)

    def door(self) -> Door:
        return Door("sqlite", str(self.path))


class _Copy(Snapshot):
    """A moment of the database, as a protected copy of its own."""

    position: Mapping[str, Any] = {}
    later = True

    def __init__(
        self, source: sqlite3.Connection, copy: Path, findings: Sequence[Finding], rights: Mapping[str, str],
        only: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._source, self._copy = source, copy
        self._only = only
        self._rights = rights
        self._findings = tuple(findings)
        self._witness: Witness | None = None

    def _take(self) -> None:
        """Begin to read: in WAL mode others go on writing; in another one nobody can until `parts` has copied it."""
        # The transaction waits for a lock no longer than the busy time-out; Python's backup() would
        # ask for it again without end.
        self._source.execute("BEGIN")
        self._source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self.taken_at = timezone.now()

    def parts(self) -> Iterator[PartSpec]:
        self.ready()
        self._take()
        _copy(self._source, self._copy)
        if self._only:
            require(self._copy, self._only)
            keep_only(self._copy, self._only)
        yield PartSpec("database", "sqlite3", (self._blocks,), smallest=512, again=True)

    def _blocks(self) -> Iterator[bytes]:
        with self._copy.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block

    def witness(self) -> Witness:
        if self._witness is None:
            found = compute(self._copy, immutable=True, only=self._only)
            self._witness = dataclasses.replace(found, objects={**found.objects, **self._rights})
        return self._witness

    def findings(self) -> Sequence[Finding]:
        """Also damage in the source: a copy of it is equal, and still no backup to rely on."""
        integrity = self.witness().objects["integrity_check"]
        if integrity == "ok":
            return self._findings
        finding = Finding(
            f"PRAGMA integrity_check says: {integrity}",
            "Repair the database (sqlite3 .recover), or restore the last set that was proven.",
            caps=is_damaged(integrity),
        )
        return (*self._findings, finding)


def _size(connection: sqlite3.Connection) -> int:
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    page: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return pages * page


def _copy(source: sqlite3.Connection, copy: Path) -> None:
    """Copy the database in one step, and end its transaction: the stepwise call starts over whenever somebody writes."""
    copy.touch(mode=0o600)
    with connected(copy, "rw") as destination:
        needed, free = _size(source), shutil.disk_usage(copy.parent).free
        if needed > free:
            raise OperationFailed(
                f"The copy needs {needed} bytes in {copy.parent}, where {free} are free.",
                "Make room, or point DRC_STATE at a larger disk.",
            )
        destination.execute("PRAGMA journal_mode=OFF")
        destination.execute("PRAGMA synchronous=OFF")
        source.backup(destination, pages=-1)
    source.execute("COMMIT")
