"""Restores of real databases: beside, and over production while others hold locks or the server dies."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from backups.admin.verdicts import recovery_verdict
from backups.engines import _mariadb_restore, _postgresql_clear
from backups.engines import mariadb as mariadb_engine
from backups.engines import postgresql as postgresql_engine
from backups.models import Level, Plan, Recovery, Set, Source
from backups.recovery import production, restore
from backups.servers.mariadb import private_server
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.approving import carried_out, requester
from tests.live.mariadb_fixtures import Database, database, mariadb_server
from tests.live.postgresql_fixtures import rows

__all__ = ["database", "mariadb_server"]
pytestmark = pytest.mark.django_db(transaction=True)

TABLE = "CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(200))"
ODD = "-dash 'quote\" ; DROP ../x=y ü"


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.3)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)
    monkeypatch.setattr(production, "PAUSES", ())


@pytest.fixture
def protect(system, destination, key):
    """protect(engine, options): a set of one source of that engine."""

    def protect(engine: str, options: dict) -> Set:
        source = Source.objects.create(
            system=system,
            name="db",
            engine=engine,
            tier="database",
            options={**options, "critical_tables": ["orders"]},
        )
        plan = Plan.objects.create(system=system, name="daily", level=Level.INTACT)
        plan.sources.set([source])
        plan.destinations.set([destination])
        wanted = take.request(plan, requested_by="otto")
        run_job(wanted.job.pk)
        taken = Set.objects.get(pk=wanted.pk)
        assert taken.state == Set.State.COMPLETE, taken.message
        return taken

    return protect


def over(taken: Set, key, **changes) -> Recovery:
    source = taken.system.sources.get()
    recovery = restore.request_production(
        taken.copies.get(), sources=[], typed_host=f"{source.system.slug}@{source.build().host}", requested_by="otto",
        user=requester(), **changes,
    )  # fmt: skip
    run_job(carried_out(recovery, Secret(key.identity)).job.pk)
    return Recovery.objects.get(pk=recovery.pk)


def beside(taken: Set, key, name: str) -> Recovery:
    recovery = restore.request_beside(
        taken.copies.get(), sources=[], names={"db": name}, requested_by="otto", identity=Secret(key.identity)
    )
    run_job(recovery.job.pk)
    return Recovery.objects.get(pk=recovery.pk)


def three(text: str = "note") -> list[tuple[int, str]]:
    return [(number, f"{text} {number} 😀") for number in range(3)]


class TestMariaDB:
    @pytest.fixture
    def taken(self, database: Database, protect) -> Set:
        database.execute(TABLE)
        for number, note in three():
            database.execute("INSERT INTO orders VALUES (%s, %s)", number, note)
        return protect("mariadb", database.engine().options)

    def orders(self, database: Database, name: str) -> list[tuple]:
        quoted = "`" + name.replace("`", "``") + "`"
        return database.execute(f"SELECT * FROM {quoted}.orders ORDER BY id")

    @pytest.mark.parametrize("name", ["plain_beside", ODD, "`tick`"])
    def test_beside(self, taken: Set, database: Database, key, name: str) -> None:
        database.execute("DELETE FROM orders WHERE id = 1")
        recovery = beside(taken, key, name)
        quoted = "`" + name.replace("`", "``") + "`"
        try:
            assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
            assert self.orders(database, name) == three()
            assert len(self.orders(database, database.name)) == 2
            again = beside(taken, key, name)
            assert again.state == Recovery.State.FAILED
            assert "is not empty" in again.message
            assert self.orders(database, name) == three()
        finally:
            database.execute(f"DROP DATABASE IF EXISTS {quoted}")

    def test_a_half_restored_database_is_removed(
        self, taken: Set, database: Database, key, monkeypatch
    ) -> None:
        original = mariadb_engine.Plugin.consumer

        def consumer(self, part, suffix):
            command = original(self, part, suffix)
            if part != "database":
                return command
            client = " ".join(f"'{word}'" for word in command.argv)
            return replace(command, argv=("sh", "-c", f"head -c 1500 | {client}; exit 1"))

        monkeypatch.setattr(mariadb_engine.Plugin, "consumer", consumer)
        recovery = beside(taken, key, "half_beside")
        assert recovery.state == Recovery.State.FAILED
        assert recovery.steps[-1]["step"] == "remove what is half restored"
        assert database.execute("SHOW DATABASES LIKE 'half_beside'") == []

    def test_a_name_that_the_server_refuses(self, taken: Set, key) -> None:
        for name in ("x" * 65, "ends with a space "):
            recovery = beside(taken, key, name)
            assert recovery.state == Recovery.State.FAILED
            assert "database name" in recovery.message or "is too long" in recovery.message
        with pytest.raises(OperationFailed, match="is an original"):
            beside(taken, key, taken.system.sources.get().options["database"])

    def test_over_production_while_somebody_holds_a_lock(
        self, taken: Set, database: Database, key, monkeypatch
    ) -> None:
        """It ends before the first table is dropped, and the application runs as before."""
        database.execute("CREATE TABLE a_first_one (id INT PRIMARY KEY)")
        database.execute("INSERT INTO a_first_one VALUES (7)")
        taken.system.pause_command = taken.system.resume_command = [["true"]]
        taken.system.save()
        monkeypatch.setattr(_mariadb_restore, "LOCK_WAIT_SECONDS", 1)
        with closing(database.server.connect(database.name)) as busy, busy.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute("SELECT * FROM orders")  # A metadata lock, until the transaction ends.
            recovery = over(taken, key)
        assert recovery.state == Recovery.State.FAILED, recovery.message
        assert "did not let go" in recovery.message and "KILL" in recovery.hint
        assert [step["step"] for step in recovery.steps][-1] == "start"
        assert database.execute("SELECT id FROM a_first_one") == [(7,)]
        assert self.orders(database, database.name) == three()
        assert over(taken, key).state == Recovery.State.SUCCEEDED
        assert database.execute("SHOW TABLES") == [("orders",)]

    @pytest.fixture
    def reader(self, taken: Set, database: Database) -> Source:
        """The source signs in as the user that the documentation names for backups."""
        backup = database.user(
            "backup",
            f"SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON `{database.name}`.*",
            "SELECT ON `mysql`.*",
        )
        source = taken.system.sources.get()
        source.options = {**backup.options, "critical_tables": ["orders"]}
        source.save()
        database.execute("UPDATE orders SET note = 'of today'")
        return source

    def test_a_user_who_may_only_read_is_refused_before_anything_begins(
        self, taken: Set, database: Database, reader: Source, key
    ) -> None:
        recovery = over(taken, key)
        assert recovery.state == Recovery.State.FAILED
        assert "may not overwrite" in recovery.message and "DROP" in recovery.message
        assert f"GRANT ALL PRIVILEGES ON `{database.name}`.* TO `backup`" in recovery.hint
        assert "Nothing was stopped" in recovery.hint
        assert recovery.safety_set is None and len(recovery.steps) == 1
        assert {note for _id, note in self.orders(database, database.name)} == {"of today"}
        database.execute(f"GRANT ALL PRIVILEGES ON `{database.name}`.* TO `backup`@`%`")
        assert over(taken, key).state == Recovery.State.SUCCEEDED
        assert self.orders(database, database.name) == three()

    def test_the_preview_says_the_refusal_before_anything_is_confirmed(
        self, taken: Set, database: Database, reader: Source, as_admin
    ) -> None:
        address = f"/admin/backups/copy/{taken.copies.get().pk}/production/"
        page = as_admin.get(address).content.decode()
        assert "may not overwrite" in page and "GRANT ALL PRIVILEGES" in page
        words = f"{taken.system.slug}@{reader.build().host}"
        page = as_admin.post(address, {"typed_host": words, "reason": "drill"}).content.decode()
        assert "may not overwrite" in page
        assert not Recovery.objects.exists()
        with pytest.raises(CommandError, match="may not overwrite"):
            call_command("recover", "full", taken.system.slug, "--production", "--yes")
        assert not Recovery.objects.exists()

    def test_a_drop_that_is_refused_first_has_overwritten_nothing(
        self, taken: Set, database: Database, reader: Source, key, monkeypatch
    ) -> None:
        """The rights were there when they were looked at, and are not any more."""
        monkeypatch.setattr(mariadb_engine, "check_may_overwrite", lambda *given: None)
        recovery = over(taken, key)
        assert recovery.state == Recovery.State.FAILED
        assert "overwritten" in recovery.message and "1142" in recovery.message
        assert not any("put the safety set back" in step["step"] for step in recovery.steps)
        assert {note for _id, note in self.orders(database, database.name)} == {"of today"}

    def test_a_database_that_is_gone(self, taken: Set, database: Database, key) -> None:
        database.execute(f"DROP DATABASE `{database.name}`")
        recovery = over(taken, key)
        assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
        assert self.orders(database, database.name) == three()
        assert recovery.safety_set is None
        assert any("NOTHING IS LEFT OF IT" in step["target"] for step in recovery.steps)


@pytest.fixture
def own_server(tmp_path_factory) -> Iterator[tuple[Path, ExitStack]]:
    """A server of its own, which may be killed: always behind the same socket."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="drc-own-", dir="/var/tmp") as place, ExitStack() as stack:
        Path(place).chmod(0o755)
        yield Path(place) / "db", stack


def test_a_server_killed_in_the_middle_comes_back_and_so_do_the_data(
    own_server, protect, key, monkeypatch, tmp_path
):
    place, stack = own_server
    server = stack.enter_context(private_server(place, keep=True))
    (tmp_path / "word").write_text(word := secrets.token_hex(8))
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for statement in (
            "CREATE DATABASE shop CHARACTER SET utf8mb4", f"CREATE USER app@localhost IDENTIFIED BY '{word}'",
            "GRANT ALL ON shop.* TO app@localhost", "USE shop", TABLE,
        ):  # fmt: skip
            cursor.execute(statement)
        cursor.executemany("INSERT INTO orders VALUES (%s, %s)", three())
    taken = protect(
        "mariadb",
        {"socket": server.socket, "user": "app", "password": f"file:{tmp_path / 'word'}", "database": "shop"},
    )
    with closing(server.connect("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET note = 'of today'")
    originals = mariadb_engine.Plugin.consumer, mariadb_engine.Plugin.prepare
    killed: list[int] = []

    def consumer(self, part, suffix):
        command = originals[0](self, part, suffix)
        if killed or part != "database":
            return command
        killed.append(server.pid)
        client = " ".join(f"'{word}'" for word in command.argv)
        return replace(command, argv=("sh", "-c", f"kill -9 {server.pid}; sleep 0.3; exec {client}"))

    def prepare(self, *, overwrite):
        try:
            return originals[1](self, overwrite=overwrite)
        except OperationFailed:
            # What systemd does after a moment.
            if not came_back:
                came_back.append(stack.enter_context(private_server(place, keep=True)))
            raise

    came_back: list = []
    monkeypatch.setattr(mariadb_engine.Plugin, "consumer", consumer)
    monkeypatch.setattr(mariadb_engine.Plugin, "prepare", prepare)
    monkeypatch.setattr(production, "PAUSES", (0.1, 0.1))
    recovery = over(taken, key)
    assert killed
    assert recovery.state == Recovery.State.ROLLED_BACK, recovery.message
    with closing(came_back[0].connect("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT note FROM orders")
        assert cursor.fetchall() == (("of today",),)


class TestPostgreSQL:
    @pytest.fixture
    def taken(self, postgresql_server, postgresql_database: str, protect) -> Set:
        with postgresql_server.connect(postgresql_database) as connection:
            connection.execute(TABLE)
            for row in three():
                connection.execute("INSERT INTO orders VALUES (%s, %s)", row)
        return protect("postgresql", postgresql_server.options(postgresql_database))

    def orders(self, server, name: str) -> list[tuple]:
        return rows(server, name, "SELECT * FROM orders ORDER BY id")

    @pytest.mark.parametrize("name", ["plain beside", ODD, "postgresql://x/y"])
    def test_beside(self, taken: Set, postgresql_server, postgresql_database: str, key, name: str) -> None:
        with postgresql_server.connect(postgresql_database) as connection:
            connection.execute("DELETE FROM orders WHERE id = 1")
        recovery = beside(taken, key, name)
        try:
            assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
            with postgresql_server.connect() as connection:
                names = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
            assert name in names
            again = beside(taken, key, name)
            assert again.state == Recovery.State.FAILED
            assert "is not empty" in again.message
            if "://" not in name:
                assert self.orders(postgresql_server, name) == three()
        finally:
            with postgresql_server.connect() as connection:
                quoted = '"' + name.replace('"', '""') + '"'
                connection.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)".encode())

    def test_over_production_while_somebody_is_connected(
        self, taken: Set, postgresql_server, postgresql_database: str, key
    ) -> None:
        """A session that holds no lock is no obstacle."""
        with postgresql_server.connect(postgresql_database) as idle:
            idle.execute("SELECT 1")
            idle.execute("DELETE FROM orders")
            recovery = over(taken, key)
            assert (recovery.state, recovery.counts) == (Recovery.State.SUCCEEDED, {"db": {"orders": 3}})
            assert self.orders(postgresql_server, postgresql_database) == three()

    def test_a_user_who_may_only_read_is_refused_before_anything_begins(
        self, taken: Set, postgresql_server, postgresql_database: str, key, tmp_path
    ) -> None:
        (tmp_path / "word").write_text(word := secrets.token_hex(8))
        with postgresql_server.connect(postgresql_database) as connection:
            connection.execute(f"CREATE ROLE reading LOGIN PASSWORD '{word}'".encode())
            connection.execute("GRANT pg_read_all_data TO reading")
            connection.execute("CREATE ROLE holder")
            connection.execute("ALTER TABLE orders OWNER TO holder")
        source = taken.system.sources.get()
        source.options = {**source.options, "user": "reading", "password": f"file:{tmp_path / 'word'}"}
        source.save()
        recovery = over(taken, key)
        assert recovery.state == Recovery.State.FAILED
        assert "may not overwrite" in recovery.message and "public.orders" in recovery.message
        assert "GRANT holder TO reading" in recovery.hint and "Nothing was stopped" in recovery.hint
        assert recovery.safety_set is None and len(recovery.steps) == 1
        assert self.orders(postgresql_server, postgresql_database) == three()

    def test_a_session_that_holds_a_lock_does_not_hang_it_for_ever(
        self, taken: Set, postgresql_server, postgresql_database: str, key, monkeypatch
    ) -> None:
        monkeypatch.setattr(_postgresql_clear, "LOCK_TIMEOUT", "500ms")
        options = taken.system.sources.get().options
        word = Path(options["password"].removeprefix("file:")).read_text()
        with psycopg.connect(
            host=options["host"], port=options["port"], user=options["user"], password=word,
            dbname=postgresql_database,
        ) as busy:  # fmt: skip
            busy.execute("UPDATE orders SET note = 'of today'")
            recovery = over(taken, key)
            assert "lock timeout" in recovery.message
            assert "Stop queue workers" in recovery.hint
            # Seen before anything was touched: the application runs as before.
            assert recovery.state == Recovery.State.FAILED
            busy.rollback()
        assert self.orders(postgresql_server, postgresql_database) == three()

    def test_a_lock_that_comes_later_changes_nothing_either(
        self, taken: Set, postgresql_server, postgresql_database: str, key, monkeypatch
    ) -> None:
        """Neither way gets through; the load clears in its own transaction."""
        monkeypatch.setattr(_postgresql_clear, "LOCK_TIMEOUT", "500ms")
        monkeypatch.setattr(postgresql_engine, "require_unlocked", lambda *given: None)
        options = taken.system.sources.get().options
        word = Path(options["password"].removeprefix("file:")).read_text()
        with psycopg.connect(
            host=options["host"], port=options["port"], user=options["user"], password=word,
            dbname=postgresql_database,
        ) as busy:  # fmt: skip
            busy.execute("UPDATE orders SET note = 'of today'")
            recovery = over(taken, key)
            assert "lock timeout" in recovery.message and "stop queue workers" in recovery.hint
            assert recovery.state == Recovery.State.DOWN
            # The system has no stop commands.
            assert recovery.state_shown == "failed, the application was not stopped"
            assert "not stopped by us" in recovery.message
            assert recovery_verdict(recovery).word == recovery.state_shown
            busy.rollback()
        assert self.orders(postgresql_server, postgresql_database) == three()

    def test_a_database_that_is_gone(
        self, taken: Set, postgresql_server, postgresql_database: str, key
    ) -> None:
        with postgresql_server.connect() as connection:
            connection.execute(f'DROP DATABASE "{postgresql_database}" WITH (FORCE)'.encode())
        recovery = over(taken, key)
        assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
        assert self.orders(postgresql_server, postgresql_database) == three()
        assert recovery.safety_set is None
        assert any("NOTHING IS LEFT OF IT" in step["target"] for step in recovery.steps)

    def test_psql_fails_half_way_and_nothing_has_changed(
        self, taken: Set, postgresql_server, postgresql_database: str, key, monkeypatch
    ) -> None:
        with postgresql_server.connect(postgresql_database) as connection:
            connection.execute("UPDATE orders SET note = 'of today'")
        original, calls = postgresql_engine.Plugin.consumer, []

        def consumer(self, part, suffix):
            command = original(self, part, suffix)
            if part != "database" or calls:
                return command
            calls.append(part)
            client = " ".join(f'"{word}"' if "DO $" not in word else '"$CLEAR"' for word in command.argv)
            return replace(
                command, argv=("sh", "-c", f"(head -c 900; echo; echo 'SELECT nonsense;') | {client}")
            )

        monkeypatch.setattr(postgresql_engine.Plugin, "consumer", consumer)
        recovery = over(taken, key)
        assert recovery.state == Recovery.State.ROLLED_BACK
        assert "psql" in recovery.message or "sh failed" in recovery.message
        assert rows(postgresql_server, postgresql_database, "SELECT DISTINCT note FROM orders") == [
            ("of today",)
        ]
