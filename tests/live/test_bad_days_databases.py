"""Bad days of database servers, as sets meet them: the row says what and why, nothing is left, the next run is good."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from backups.engines import _postgresql_commands
from backups.engines import mariadb as mariadb_engine
from backups.engines.mariadb import Plugin as MariaDB
from backups.models import Copy, Plan, Set, Source, Verification
from backups.servers import mariadb as mariadb_server_module
from backups.servers import postgresql as postgresql_server_module
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from tests.backups.taking import (
    assert_secret,
    channel,
    job_of,
    nothing_stored,
    quick,
    root,
    taken,
    told,
    verified,
    watched_processes,
)  # fmt: skip
from tests.live.mariadb_fixtures import Database, mariadb_server
from tests.live.mariadb_fixtures import database as mariadb
from tests.live.postgresql_fixtures import engine_for

__all__ = ["channel", "mariadb", "mariadb_server", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]

PASSWORD = "wrong-but-secret-7c1f"


@pytest.fixture
def plan(system, destination) -> Plan:
    row = Plan.objects.create(system=system, name="daily")
    row.destinations.set([destination])
    return row


def protect(plan: Plan, engine: str, options: dict) -> Source:
    """Let the plan have this one source."""
    given = {"engine": engine, "tier": "database", "options": options}
    source, _new = Source.objects.update_or_create(given, system=plan.system, name="app")
    plan.sources.set([source])
    return source


def failed(plan: Plan, message: str, hint: str, caplog=None) -> Set:
    """Take, and look that the row, the channels, storage and every trace are as they have to be."""
    with watched_processes(PASSWORD) as seen:
        one = taken(plan)
    assert one.state == Set.State.FAILED
    assert message in one.message
    assert hint in one.hint
    assert told()[-1][0] == "failure"
    assert message in told()[-1][1]
    destination = plan.destinations.get()
    assert nothing_stored(destination)
    assert not one.copies.exclude(state=Copy.State.FAILED).exists()
    assert seen == []
    assert_secret(PASSWORD, logs=caplog.text if caplog else "", places=[root(destination)])
    return one


def proven(plan: Plan) -> Set:
    one = taken(plan)
    assert (one.state, one.level) == (Set.State.COMPLETE, "proven"), (
        one.message,
        one.level_reason,
        one.findings,
    )
    return one


@pytest.fixture
def filled_mariadb(mariadb: Database) -> Database:
    mariadb.fill([
        "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(50))",
        "INSERT INTO orders (note) VALUES ('one'), ('two')",
        "CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = UPPER(NEW.note)",
    ])  # fmt: skip
    return mariadb


@pytest.fixture
def filled_postgresql(postgresql_server, postgresql_database) -> dict:
    """The options of an engine for a small database."""
    with postgresql_server.connect(postgresql_database) as connection:
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO orders VALUES (1, 'one'), (2, 'two')")
    return dict(engine_for(postgresql_server, postgresql_database).options)


def kill_after(monkeypatch, count: int, pid: int) -> None:
    """Kill a server as soon as a dump has given `count` bytes."""
    original = JobContext.advance

    def advance(self, size):
        original(self, size)
        if self.counted[0] > count:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(JobContext, "advance", advance)


class TestMariaDB:
    def test_a_wrong_password(self, plan, filled_mariadb, caplog) -> None:
        protect(plan, "mariadb", filled_mariadb.engine(password=PASSWORD).options)
        one = failed(plan, "1045", "password", caplog)
        assert job_of(one).permanent
        protect(plan, "mariadb", filled_mariadb.engine().options)
        proven(plan)

    def test_an_unknown_database(self, plan, filled_mariadb) -> None:
        protect(plan, "mariadb", filled_mariadb.engine(database="nothing").options)
        failed(plan, "Unknown database", "")

    def test_a_missing_tool(self, plan, filled_mariadb, monkeypatch, tmp_path) -> None:
        protect(plan, "mariadb", filled_mariadb.engine().options)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))
            failed(plan, "mariadb-dump is not installed", "mariadb-client")
        proven(plan)

    def test_a_server_that_is_gone_in_the_middle(self, plan, filled_mariadb, monkeypatch) -> None:
        with mariadb_server_module.private_server() as server:
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE app")
                cursor.execute("CREATE TABLE app.big (id INT PRIMARY KEY AUTO_INCREMENT, body LONGBLOB)")
                for _number in range(24):
                    cursor.execute("INSERT INTO app.big (body) VALUES (RANDOM_BYTES(1024))")
                    cursor.execute("UPDATE app.big SET body = REPEAT(body, 1000) WHERE LENGTH(body) = 1024")
            monkeypatch.setenv("BIG_PASSWORD", server.password.reveal())
            options = {
                "host": server.host,
                "port": server.port,
                "user": "root",
                "password": "env:BIG_PASSWORD",
            }
            protect(plan, "mariadb", MariaDB(options | {"database": "app"}).options)
            with monkeypatch.context() as patch:
                kill_after(patch, 4 << 20, server.pid)
                failed(plan, "mariadb-dump failed with exit code", "")
        protect(plan, "mariadb", filled_mariadb.engine().options)
        proven(plan)

    def test_without_the_right_to_see_triggers_it_is_stored_at_most(self, plan, filled_mariadb) -> None:
        rights = f"SELECT, LOCK TABLES, SHOW VIEW ON `{filled_mariadb.name}`.*"
        protect(plan, "mariadb", filled_mariadb.user("backup", rights).options)
        one = taken(plan)
        assert (one.state, one.capped, one.level) == (Set.State.COMPLETE, True, "stored")
        assert one.level_reason.startswith("app: ")
        assert any("GRANT TRIGGER" in finding["hint"] for finding in one.findings if finding["caps"])
        assert told()[-1][0] in {"warning", "failure"}
        protect(plan, "mariadb", filled_mariadb.engine().options)
        proven(plan)

    def test_no_server_to_prove_it_in(self, plan, filled_mariadb, monkeypatch) -> None:
        def missing() -> None:
            raise OperationFailed("No MariaDB server is installed on this machine.", "Install it.")

        protect(plan, "mariadb", filled_mariadb.engine().options)
        monkeypatch.setattr(mariadb_engine, "installed_version", missing)
        one = taken(plan)
        assert (one.state, one.level, one.capped) == (Set.State.COMPLETE, "intact", False)
        assert "No MariaDB server is installed" in one.level_reason

    def test_proven_at_once_though_this_machine_cannot_read_it_later(self, plan, filled_mariadb, key) -> None:
        protect(plan, "mariadb", filled_mariadb.engine().options)
        copy = proven(plan).copies.get()
        done = verified(copy, "proven")
        assert (done.state, done.reached) == ("undecided", "stored")
        assert verified(copy, "proven", key.identity).reached == "proven"
        assert Verification.objects.count() == 3


class TestPostgreSQL:
    def test_a_wrong_password(self, plan, filled_postgresql, tmp_path, caplog) -> None:
        wrong = tmp_path / "password"
        wrong.write_text(PASSWORD)
        protect(plan, "postgresql", filled_postgresql | {"password": f"file:{wrong}"})
        failed(plan, "password", "", caplog)
        protect(plan, "postgresql", filled_postgresql)
        proven(plan)

    def test_an_unknown_database(self, plan, filled_postgresql) -> None:
        protect(plan, "postgresql", filled_postgresql | {"database": "nothing"})
        failed(plan, "nothing", "")

    def test_a_tool_that_is_older_than_the_server(
        self, plan, filled_postgresql, monkeypatch, tmp_path
    ) -> None:
        (tmp_path / "bin").mkdir()
        old = tmp_path / "bin" / "pg_dump"
        old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.3'\n")
        old.chmod(0o755)
        protect(plan, "postgresql", filled_postgresql)
        with monkeypatch.context() as patch:
            patch.setattr(_postgresql_commands, "INSTALLATIONS", tmp_path)
            patch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
            failed(plan, "the newest pg_dump here is 12", "apt-get install postgresql-client-")
        proven(plan)

    def test_a_server_that_is_gone_in_the_middle(self, plan, filled_postgresql, monkeypatch) -> None:
        with postgresql_server_module.private_server() as server:
            with server.connect() as connection:
                connection.execute(
                    "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 300) AS body FROM generate_series(1, 3000) n"
                )
            protect(plan, "postgresql", server.options("postgres"))
            with monkeypatch.context() as patch:
                kill_after(patch, 4 << 20, server.pid)
                # Told by pg_dump, or by the session of the snapshot, whichever notices first.
                failed(plan, "terminat", "")
        protect(plan, "postgresql", filled_postgresql)
        proven(plan)


def test_a_source_that_has_vanished(plan, filled_mariadb) -> None:
    source = protect(plan, "mariadb", filled_mariadb.engine().options)
    plan.sources.clear()
    source.delete()
    failed(plan, "no source that is enabled", "Choose its sources")


def test_the_restore_target_is_not_empty(plan, filled_mariadb, key) -> None:
    from backups.models import Recovery
    from backups.recovery import restore
    from drcenter.jobs.work import run_job
    from drcenter.secrets import Secret

    source = protect(plan, "mariadb", filled_mariadb.engine().options)
    one = proven(plan)
    name = f"{filled_mariadb.name}_copy"
    filled_mariadb.execute(f"CREATE DATABASE `{name}`")
    filled_mariadb.execute(f"CREATE TABLE `{name}`.precious (id INT)")
    wanted = restore.request_beside(
        one.copies.get(),
        sources=[source],
        names={"app": name},
        requested_by="otto",
        identity=Secret(key.identity),
    )
    run_job(wanted.job_id)
    wanted = Recovery.objects.get(pk=wanted.pk)
    assert wanted.state == Recovery.State.FAILED
    assert "not empty" in wanted.message
    assert wanted.hint
    assert filled_mariadb.execute(f"SHOW TABLES FROM `{name}`") == [("precious",)]
    assert Path(root(plan.destinations.get())).exists()
