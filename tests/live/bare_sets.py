"""A set taken by the real pipeline, of every engine, and what its sources held: for a machine without the product."""

import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.test import override_settings

from backups.engines import build
from backups.models import Destination, Level, Plan, RecoveryKey, Set, Source
from backups.storage import publish
from backups.takes import take
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.work import run_job
from drcenter.systems.models import System
from tests.live.mariadb_fixtures import SCHEMA, Database
from tests.live.postgresql_fixtures import EVERYTHING, engine_for


@dataclass(frozen=True)
class Origin:
    """The folder of a set, the keys of the kit, and what the sources held when it was taken."""

    folder: Path
    identity: str
    stranger: str
    public_pem: str
    tree: Path
    lite: Path
    mariadb_rows: dict[str, Any]
    postgresql_witness: Any

    def parts(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(f"parts/{pattern}"))


def make(place: Path, patch: pytest.MonkeyPatch, mariadb: Any, postgresql: Any) -> Origin:
    """Fill a source of each kind, and take a set of them."""
    tree = plant_tree(place / "tree")
    lite = plant_sqlite(place / "lite.sqlite3")
    database = _mariadb(mariadb, patch)
    _postgresql(postgresql)
    options = {
        "shop-db": ("mariadb", "database", database.engine().options),
        "warehouse": ("postgresql", "database", postgresql.options("ware house")),
        "sessions": ("sqlite", "configuration", {"path": str(lite)}),
        "uploads": ("files", "storage", {"path": str(tree)}),
        "packages": ("command", "information", {"argv": ["echo", "installed: everything"], "suffix": "txt"}),
    }
    folder, identity, public = _take(place, options, encrypt=True)
    witness = engine_for(postgresql, "ware house").witness()
    stranger = str(pyrage.x25519.Identity.generate())
    return Origin(folder, identity, stranger, public, tree, lite, database.rows(), witness)


def make_open(place: Path) -> Origin:
    """A set that is not encrypted, of files alone; its successor lies beside it."""
    tree = plant_tree(place / "tree")
    folder, identity, public = _take(
        place, {"uploads": ("files", "storage", {"path": str(tree)})}, encrypt=False
    )
    _run(Plan.objects.get(), place)
    return Origin(folder, identity, "", public, tree, tree, {}, None)


def _take(place: Path, options: dict[str, Any], *, encrypt: bool) -> tuple[Path, str, str]:
    """The folder of a new set, its identity and the public signing key; as the product does it, through
    the rows, the job and the worker's edge."""
    identity = pyrage.x25519.Identity.generate()
    plan = _plan(place / "sets", options, encrypt=encrypt)
    RecoveryKey.objects.create(name="safe", recipient=str(identity.to_public()))
    one = _run(plan, place)
    with override_settings(STATE_DIR=place):
        public = publish.signing_key().public_pem
    return place / "sets" / one.prefix, str(identity), public


def _run(plan: Plan, place: Path) -> Set:
    with override_settings(STATE_DIR=place), kept_here():
        job = take.request(plan, requested_by="test").job
        run_job(job.pk)
    one = Set.objects.get(job=job)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    return one


def _plan(place: Path, options: dict[str, Any], *, encrypt: bool) -> Plan:
    system = System.objects.create(slug="shop", name="Anna's “shop” $(reboot) `id`")
    destination = Destination.objects.create(name="disk", kind="local", options={"path": str(place)})
    destination.build().prepare()
    plan = Plan.objects.create(system=system, name="every night", level=Level.INTACT, encrypt=encrypt)
    plan.destinations.add(destination)
    for name, (engine, tier, given) in options.items():
        values = dict(build(engine, given).options)
        plan.sources.add(
            Source.objects.create(system=system, name=name, engine=engine, tier=tier, options=values)
        )
    return plan


# ---------------------------------------------------------------------------- sources


def _mariadb(server: Any, patch: pytest.MonkeyPatch) -> Database:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE `shop-db` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    database = Database(server, "shop-db", patch)
    database.fill(SCHEMA)
    database.execute("CREATE USER `shop-app`@`%` IDENTIFIED BY 'a long and secret word'")
    database.execute("GRANT SELECT, INSERT ON `shop-db`.* TO `shop-app`@`%`")
    database.execute("CREATE OR REPLACE DEFINER=`shop-app`@`%` VIEW by_the_app AS SELECT id FROM customers")
    return database


def _postgresql(server: Any) -> None:
    with server.connect() as connection:
        connection.execute('CREATE DATABASE "ware house" TEMPLATE template0')
    with server.connect("ware house") as connection:
        connection.execute(EVERYTHING.encode())
        connection.execute("REFRESH MATERIALIZED VIEW sales.totals")


def plant_sqlite(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, body BLOB, note TEXT)")
    rows = [(number, os.urandom(50), f"nöte {number} 😀") for number in range(500)]
    connection.executemany("INSERT INTO sessions VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


def plant_tree(root: Path) -> Path:
    """Names, links, modes, times and a hole that a poor tar would lose."""
    (root / "deep" / ("long" * 40) / ("name" * 40)).mkdir(parents=True)
    (root / "deep" / ("long" * 40) / ("name" * 40) / "file.bin").write_bytes(os.urandom(70000))
    (root / "with space\nand a line").write_text("odd")
    Path(os.fsdecode(os.fsencode(root) + b"/bytes-\xff")).write_text("no UTF-8")
    (root / "--checkpoint-action=exec=sh").write_text("not an option")
    (root / "empty").mkdir(mode=0o750)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    os.link(root / "run.sh", root / "same as run")
    (root / "to-nowhere").symlink_to("../nowhere")
    with (root / "hole").open("wb") as file:
        file.truncate(5 << 20)
        file.seek(4 << 20)
        file.write(b"after the hole")
    os.utime(root / "run.sh", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    return root


def look_at_tree(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """What a person would compare: type, mode, owner, time, contents, links, holes left out."""
    found = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        for name in [b".", *folders, *files]:
            path = os.path.normpath(os.path.join(folder, name))
            status = os.lstat(path)
            content: Any = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            what = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content)
            links = status.st_nlink if stat.S_ISREG(status.st_mode) else 1
            found[os.path.relpath(path, base)] = (*what, links)
    return found


def sqlite_rows(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return [*connection.iterdump(), *connection.execute("PRAGMA integrity_check")]
    finally:
        connection.close()
