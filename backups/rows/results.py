"""Files of rows: what differs, and what is put back. Below DRC_STATE/rows, of mode 0600; they hold production's data.

A SQLite file, so that ten million differing rows need disk and no memory, and a page of them is found at once.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from backups.rows.condition import Condition, number
from backups.rows.merge import Difference, Kind
from backups.rows.shape import Column
from backups.rows.values import packed, unpacked

BATCH = 1000
SCHEMA = """
CREATE TABLE tables (name TEXT PRIMARY KEY, role TEXT NOT NULL, columns TEXT NOT NULL, key TEXT NOT NULL,
    lacking TEXT NOT NULL);
CREATE TABLE rows (id INTEGER PRIMARY KEY, tbl TEXT NOT NULL, kind TEXT NOT NULL, role TEXT NOT NULL, was TEXT,
    now TEXT, chosen INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '', mark TEXT, state TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX marks ON rows (mark) WHERE mark IS NOT NULL;
CREATE INDEX chosen_rows ON rows (chosen) WHERE chosen;
CREATE INDEX kinds ON rows (role, kind, id);
CREATE TABLE links (needs INTEGER NOT NULL, needed INTEGER NOT NULL, PRIMARY KEY (needs, needed)) WITHOUT ROWID;
CREATE INDEX backwards ON links (needed);
"""
MAIN, PARENT, CHILD = "", "parent", "child"


@dataclass(frozen=True)
class Table:
    """A table of production in such a file; `columns` and positions of the `key` as they were compared."""

    name: str
    role: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """A row in such a file. `role`: "" of the compared table, "parent" or "child" of others."""

    id: int
    table: str
    role: str
    chosen: bool
    note: str
    state: str
    difference: Difference


def directory() -> Path:
    return Path(settings.STATE_DIR) / "rows"


class Rows:
    """An open file of rows."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: list[tuple[Any, ...]] = []

    # ------------------------------------------------------------------ writing

    def add_table(self, table: Table) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO tables VALUES (?, ?, ?, ?, ?)",
            (
                table.name, table.role, json.dumps([asdict(column) for column in table.columns]),
                json.dumps(table.key), json.dumps(table.lacking),
            ),
        )  # fmt: skip

    def add(self, table: str, difference: Difference, *, chosen: bool = False) -> None:
        """A row of the compared table. Written with others of its kind, at `flush` at the latest."""
        one = difference
        self._pending.append((table, one.kind, MAIN, packed(one.then), packed(one.now), int(chosen)))
        if len(self._pending) >= BATCH:
            self.flush()

    def flush(self) -> None:
        self._connection.executemany(
            "INSERT INTO rows (tbl, kind, role, was, now, chosen) VALUES (?, ?, ?, ?, ?, ?)", self._pending
        )
        self._pending.clear()

    def add_linked(self, table: str, role: str, difference: Difference, mark: str) -> int:
        """A row of another table, once; its number."""
        self._connection.execute(
            "INSERT OR IGNORE INTO rows (tbl, kind, role, was, now, mark) VALUES (?, ?, ?, ?, ?, ?)",
            (table, difference.kind, role, packed(difference.then), packed(difference.now), mark),
        )
        row = self._connection.execute("SELECT id FROM rows WHERE mark = ?", (mark,)).fetchone()
        return int(row[0])

    def link(self, needs: int, needed: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO links VALUES (?, ?)", (needs, needed))

    def note(self, number: int, text: str) -> None:
        self._connection.execute(
            "UPDATE rows SET note = trim(note || ' ' || ?) WHERE id = ? AND instr(note, ?) = 0",
            (text, number, text),
        )

    def mark_state(self, number: int, state: str) -> None:
        self._connection.execute("UPDATE rows SET state = ? WHERE id = ?", (state, number))

    def choose(self, condition: Condition, *, chosen: bool = True) -> int:
        """Tick all rows of the filter, or none of them; how many rows that changed."""
        text, values = condition.sql()
        return self._connection.execute(
            f"UPDATE rows SET chosen = ? WHERE chosen <> ? AND {text}",  # noqa: S608 - positions and parameters
            (int(chosen), int(chosen), *values),
        ).rowcount

    def tick(self, shown: Iterable[int], ticked: Iterable[int]) -> None:
        """Of the rows on a page: those that are ticked, and only those, are chosen."""
        wanted = set(ticked)
        self._connection.executemany(
            "UPDATE rows SET chosen = ? WHERE id = ?", [(int(one in wanted), one) for one in shown]
        )

    def choose_linked(self, *, parents: bool, children: bool) -> None:
        """Tick what the chosen rows need, and what depends on them; take the ticks of all else of other tables away."""
        self._connection.execute("UPDATE rows SET chosen = 0 WHERE role <> ''")
        for _round in range(100):
            changed = 0
            for role, wanted, here, there in (
                (PARENT, parents, "needed", "needs"), (CHILD, children, "needs", "needed"),
            ):  # fmt: skip
                if wanted:
                    changed += self._connection.execute(
                        f"UPDATE rows SET chosen = 1 WHERE chosen = 0 AND role = ? AND id IN"  # noqa: S608 - one of two
                        f" (SELECT {here} FROM links JOIN rows r ON r.id = links.{there} WHERE r.chosen)",
                        (role,),
                    ).rowcount
            if parents and children:
                # What a child needs besides.
                changed += self._connection.execute(
                    "UPDATE rows SET chosen = 1 WHERE chosen = 0 AND role <> '' AND id IN"
                    " (SELECT needed FROM links JOIN rows r ON r.id = links.needs WHERE r.chosen)"
                ).rowcount
            if not changed:
                return

    # ------------------------------------------------------------------ reading

    def tables(self) -> dict[str, Table]:
        """By name; the compared one first."""
        rows = self._connection.execute(
            "SELECT name, role, columns, key, lacking FROM tables ORDER BY role <> '', rowid"
        )
        return {
            name: Table(
                name, role, tuple(Column(**column) for column in json.loads(columns)), tuple(json.loads(key)),
                tuple(json.loads(lacking)),
            )
            for name, role, columns, key, lacking in rows
        }  # fmt: skip

    def counts(self, condition: Condition | None = None) -> dict[str, int]:
        """How many rows of each kind; of other tables "parents" and "children"; and "chosen"."""
        text, values = condition.sql() if condition else ("1", ())
        rows = self._connection.execute(
            f"SELECT role, kind, count(*), sum(chosen) FROM rows WHERE {text} GROUP BY 1, 2",  # noqa: S608 - as above
            values,
        ).fetchall()
        found = dict.fromkeys([*Kind, "parents", "children", "chosen"], 0)
        for role, kind, count, chosen in rows:
            name = {MAIN: kind, PARENT: "parents", CHILD: "children"}[role]
            found[name] += count
            found["chosen"] += chosen
        return found

    def page(self, condition: Condition, after: int, size: int) -> list[Held]:
        """`size` rows of the filter from number `after` on, not included."""
        text, values = condition.sql()
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM rows WHERE id > ? AND {text} ORDER BY id LIMIT ?",  # noqa: S608 - as above
            (after, *values, size),
        ).fetchall()
        return [_held(row) for row in rows]

    def each(self, where: str = "1", order: str = "id") -> Iterator[Held]:
        """All rows, streamed. `where` and `order` are text of this program, never of people. Others may write to
        the file meanwhile through this object: rows that are added behind are seen."""
        for row in self._connection.execute(f"SELECT {COLUMNS} FROM rows WHERE {where} ORDER BY {order}"):  # noqa: S608
            yield _held(row)

    def deleted_after(self, number: int, size: int) -> list[Held]:
        """The next rows that are only in the set, of every table, in the order in which they were found."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM rows WHERE id > ? AND kind = 'deleted' ORDER BY id LIMIT ?",  # noqa: S608 - own text
            (number, size),
        ).fetchall()
        return [_held(row) for row in rows]

    def commit(self) -> None:
        """Bring it to the disk."""
        self.flush()
        self._connection.commit()


COLUMNS = "id, tbl, kind, role, was, now, chosen, note, state"


def _held(row: Sequence[Any]) -> Held:
    number, table, kind, role, was, now, chosen, note, state = row
    return Held(
        number, table, role, bool(chosen), note, state, Difference(Kind(kind), unpacked(was), unpacked(now))
    )


@contextmanager
def created(path: Path) -> Iterator[Rows]:
    """A new file; gone again when anything fails inside."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    remove(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with changed(path, fresh=True) as rows:
            yield rows
    except BaseException:
        remove(path)
        raise


@contextmanager
def changed(path: Path, *, fresh: bool = False) -> Iterator[Rows]:
    """An existing file, for reading and writing; committed at the end."""
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA temp_store=FILE")
        connection.create_function("drc_number", 1, number, deterministic=True)
        if fresh:
            # Pages are read while a job writes.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)
        rows = Rows(connection)
        yield rows
        rows.commit()
    finally:
        connection.close()


def remove(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
