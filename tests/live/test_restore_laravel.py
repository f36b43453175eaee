"""A real Laravel application: protected as proposed, damaged, restored over production while it is served."""

import json
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest
from django.core.management import call_command

from backups import protect
from backups.look import look_at
from backups.models import Level, Recovery, Set
from backups.recovery import production, restore
from backups.takes import take
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.work import run_job
from drcenter.management.demo.laravel import create
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.approving import carried_out, requester
from tests.live.laravel import answer, served
from tests.live.mariadb_fixtures import mariadb_server

__all__ = ["mariadb_server"]
pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = "Nobody else can be reached at this hour of the night"
OWNER = "www-data"
# What nobody backs up: made again by the framework, or the marker of maintenance mode itself.
VOLATILE = ("storage/framework/", "storage/logs/", "bootstrap/cache/", "vendor/")
PASSWORD = "p'a\"s$s \\w#o ${APP_NAME} word"
TABLES = ("customers", "calls", "appointments", "jobs", "migrations")


@dataclass
class Shop:
    """The application on disk and in its database. `query` runs SQL there, and gives rows."""

    root: Path
    query: Callable[[str], list[tuple]]
    statuses: list[int] = field(default_factory=list)

    def rows(self) -> dict[str, list[tuple]]:
        return {table: self.query(f"SELECT * FROM {table} ORDER BY id") for table in TABLES}

    def tree(self) -> dict[str, tuple]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name.startswith(VOLATILE) or name.startswith("database/database.sqlite"):
                continue
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, content)
        return found

    def damage(self) -> None:
        """Change, add and drop: rows, a table, uploads, code, and the key that encrypted columns need."""
        self.query("UPDATE customers SET name = 'overwritten' WHERE id < 100")
        self.query("DELETE FROM appointments WHERE id > 600")
        self.query("DROP TABLE calls")
        self.query(
            "INSERT INTO jobs (queue, payload, attempts, available_at, created_at) VALUES ('default', '{}', 0, 1, 1)"
        )
        recordings = self.root / "storage" / "app" / "recordings"
        names = sorted(recordings.iterdir())
        names[0].unlink()
        names[1].write_bytes(b"\0")
        (recordings / "of today.txt").write_text("a recording of today")
        (self.root / "routes" / "web.php").write_text("<?php // nothing answers any more")
        (self.root / "app" / "intruder.php").write_text("<?php")
        environment = self.root / ".env"
        lines = environment.read_text().splitlines(keepends=True)
        environment.write_text(
            "".join("APP_KEY=lost\n" if line.startswith("APP_KEY") else line for line in lines)
        )

    @contextmanager
    def watched(self, address: str) -> Iterator[None]:
        """Ask all the time, and keep what it answers."""
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                self.statuses.append(answer(address)[0])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield
        finally:
            over.set()
            asking.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch, settings, tmp_path: Path) -> None:
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)
    monkeypatch.setattr(production, "PAUSES", ())
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the application's owner can reach."""
    place = Path(tempfile.mkdtemp(prefix="drc-shop-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def give_away(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        shutil.chown(path, OWNER, OWNER) if not path.is_symlink() else None


@pytest.fixture
def on_sqlite(place: Path) -> Shop:
    root = create(place / "shop & co")
    give_away(root)

    def query(statement: str) -> list[tuple]:
        with closing(sqlite3.connect(root / "database" / "database.sqlite")) as connection, connection:
            return connection.execute(statement).fetchall()

    return Shop(root, query)


@pytest.fixture
def on_mariadb(place: Path, mariadb_server) -> Iterator[Shop]:
    def as_root(*statements: str) -> None:
        with closing(mariadb_server.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    word = PASSWORD.replace("\\", "\\\\").replace("'", "''")
    as_root(
        "CREATE DATABASE shop CHARACTER SET utf8mb4",
        f"CREATE USER shop@'%' IDENTIFIED BY '{word}'",
        "GRANT ALL ON shop.* TO shop@'%'",
    )
    environment = {
        "DB_CONNECTION": "mysql", "DB_HOST": mariadb_server.host, "DB_PORT": str(mariadb_server.port),
        "DB_DATABASE": "shop", "DB_USERNAME": "shop", "DB_PASSWORD": PASSWORD,
    }  # fmt: skip
    root = create(place / "shop", environment)
    give_away(root)

    def query(statement: str) -> list[tuple]:
        with closing(mariadb_server.connect("shop")) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    yield Shop(root, query)
    as_root("DROP DATABASE shop", "DROP USER shop@'%'")


def protected(shop: Shop, level: Level = Level.INTACT) -> Set:
    """Protected as proposed, and a set of it taken."""
    system = protect.create(look_at(str(shop.root)), "shell:anna").system
    assert system.commands_user == OWNER
    source = system.sources.get(name="database")
    source.options["critical_tables"] = ["customers", "appointments"]
    source.save()
    plan = system.plans.get()
    assert plan.level == Level.PROVEN
    plan.level = level
    plan.save()
    wanted = take.request(plan, requested_by="anna")
    run_job(wanted.job.pk)
    taken = Set.objects.get(pk=wanted.pk)
    assert (taken.state, taken.level) == (Set.State.COMPLETE, level), (
        taken.message,
        taken.level_reason,
    )
    return taken


def restored(taken: Set, key, **changes) -> Recovery:
    recovery = restore.request_production(
        taken.copies.get(),
        sources=[],
        typed_host=_hosts(taken),
        requested_by="otto",
        user=requester(),
        **changes,
    )
    run_job(carried_out(recovery, Secret(key.identity)).job.pk)
    return Recovery.objects.get(pk=recovery.pk)


def whole_story(shop: Shop, key) -> Recovery:
    rows, tree = shop.rows(), shop.tree()
    taken = protected(shop, Level.PROVEN)
    with served(shop.root) as address:
        assert answer(address)[0] == 200
        transcript = json.loads(answer(f"{address}/calls/7")[1])["transcript"]
        shop.damage()
        assert answer(address)[0] != 200
        with shop.watched(address):
            recovery = restored(taken, key)
        assert (recovery.state, recovery.message) == (Recovery.State.SUCCEEDED, "")
        assert shop.rows() == rows
        assert shop.tree() == tree
        status, body = answer(address)
        assert (status, json.loads(body)["calls"]) == (200, 2500)
        # The encrypted cast: only the restored APP_KEY reads it.
        assert json.loads(answer(f"{address}/calls/7")[1])["transcript"] == transcript
    assert recovery.counts == {"database": {"customers": 400, "appointments": 1200}}
    # Broken, then down, then up: never up in the middle.
    seen = [status for status, _group in groupby(shop.statuses)]
    assert 503 in seen
    assert 200 not in seen[:-1]
    return recovery


def test_on_sqlite(on_sqlite: Shop, key) -> None:
    recovery = whole_story(on_sqlite, key)
    assert recovery.differences == []
    steps = [(step["step"], step["target"]) for step in recovery.steps]
    assert steps[1] == ("stop", "php artisan down")
    assert [target for step, target in steps if step == "clean up"] == [
        "php artisan config:clear", "php artisan cache:clear", "php artisan queue:restart",
    ]  # fmt: skip
    assert steps[-1] == ("start", "php artisan up")
    # Laravel wrote its files as the application's owner, not as the worker.
    written = on_sqlite.root.joinpath("storage", "framework").rglob("*")
    assert {path.owner() for path in written} == {OWNER}


def test_on_mariadb(on_mariadb: Shop, key) -> None:
    recovery = whole_story(on_mariadb, key)
    assert recovery.differences == []
    assert not any(PASSWORD in str(vars(row)) for row in [recovery, recovery.job, recovery.safety_set])


def test_the_database_fails_and_all_goes_back(on_sqlite: Shop, key, monkeypatch) -> None:
    """Files first, then the database: what was restored of the files is taken back as well."""
    taken = protected(on_sqlite)
    on_sqlite.damage()
    rows, tree = (
        {table: on_sqlite.query(f"SELECT * FROM {table}") for table in ("customers", "jobs")},
        on_sqlite.tree(),
    )
    System.objects.update(after_restore_command=[["php", "artisan", "no:such-command"]])
    with served(on_sqlite.root) as address, on_sqlite.watched(address):
        recovery = restored(taken, key)
    assert recovery.state == Recovery.State.ROLLED_BACK
    assert "no:such-command" in recovery.message
    assert on_sqlite.tree() == tree
    assert {table: on_sqlite.query(f"SELECT * FROM {table}") for table in rows} == rows
    assert 503 in on_sqlite.statuses
    assert 200 not in on_sqlite.statuses
    assert not (on_sqlite.root / "storage" / "framework" / "down").exists()


def test_an_application_that_cannot_be_stopped_is_left_alone(on_sqlite: Shop, key) -> None:
    taken = protected(on_sqlite)
    (on_sqlite.root / "artisan").write_text("<?php echo 'broken'; exit(9);")
    tree = on_sqlite.tree()
    recovery = restored(taken, key)
    # Neither down nor up works, so nobody knows whether it is up.
    assert recovery.state == Recovery.State.DOWN
    assert "php artisan down: php failed with exit code 9: broken" in recovery.message
    assert "Nothing was overwritten." in recovery.hint
    assert recovery.hint.count("Start the application by hand") == 1
    assert on_sqlite.tree() == tree


def test_a_locked_table_does_not_hang_for_ever(on_mariadb: Shop, mariadb_server, key, monkeypatch) -> None:
    """A client that holds a metadata lock: refused before anything is dropped, rolled back, and said what to do."""
    from backups.engines import _mariadb_restore

    monkeypatch.setattr(_mariadb_restore, "LOCK_WAIT_SECONDS", 1)
    taken = protected(on_mariadb)
    rows = on_mariadb.rows()
    with closing(mariadb_server.connect("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM customers LIMIT 1")
        recovery = restored(taken, key)
        # Of the database nothing was touched, so the way back does not meet the lock.
        assert recovery.state == Recovery.State.ROLLED_BACK
        assert "Lock wait timeout exceeded" in recovery.message
        assert "SHOW PROCESSLIST" in recovery.hint
    assert on_mariadb.rows() == rows
    assert not (on_mariadb.root / "storage" / "framework" / "down").exists()
    again = restore.request_production(
        recovery.safety_set.copies.get(), sources=[], typed_host=_hosts(taken), requested_by="otto",
        user=requester(),
    )  # fmt: skip
    run_job(carried_out(again, Secret(key.identity)).job.pk)
    assert Recovery.objects.get(pk=again.pk).state == Recovery.State.SUCCEEDED
    assert on_mariadb.rows() == rows


def _hosts(taken: Set) -> str:
    hosts = {source.build().host for source in taken.system.sources.all()}
    return ",".join(f"{taken.system.slug}@{host}" for host in hosts)


def test_an_application_too_broken_to_be_stopped_is_recovered_from_the_shell(
    on_sqlite: Shop, key, tmp_path: Path
) -> None:
    """Its .env is lost and PHP does not get past its beginning: `php artisan down` fails like all the rest."""
    rows, tree = on_sqlite.rows(), on_sqlite.tree()
    taken = protected(on_sqlite)
    on_sqlite.damage()
    (on_sqlite.root / ".env").unlink()
    (on_sqlite.root / "bootstrap" / "app.php").write_text("<?php this is no PHP")
    refused = restored(taken, key)
    assert refused.state == Recovery.State.DOWN
    assert "php artisan down: php failed" in refused.message
    assert "--without-stop" in refused.hint
    identity = tmp_path / "identity.txt"
    identity.write_text(key.identity)
    with served(on_sqlite.root) as address:
        assert answer(address)[0] != 200
        call_command(
            "recover", "full", taken.system.slug, "--production", "--host", _hosts(taken), "--yes",
            "--identity-file", str(identity), "--without-stop", "--break-glass", BROKEN,
        )  # fmt: skip
        status, body = answer(address)
        assert (status, json.loads(body)["calls"]) == (200, 2500)
    recovery = Recovery.objects.latest("pk")
    assert (recovery.state, recovery.skip_stop) == (Recovery.State.SUCCEEDED, True)
    assert (on_sqlite.rows(), on_sqlite.tree()) == (rows, tree)
