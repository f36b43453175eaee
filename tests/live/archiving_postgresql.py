"""A PostgreSQL server of its own that can be killed and taken over, under the archiver of `tests.live.archiving`."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyrage
import pytest

from backups.engines import _postgresql_wal as wal
from backups.logs import chain, read
from backups.models import RecoveryKey
from backups.servers.postgresql import Server, private_server, system_user
from tests.live.archiving import Archive
from tests.live.running import wait_for

SETTINGS = {"wal_level": "replica", "max_wal_senders": "8", "wal_keep_size": "0", "min_wal_size": "32MB"}
SEGMENT = 16 << 20


class MortalPostgresql:
    """A server that starts again with the same data, at another port."""

    engine = "postgresql_physical"

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory, self._settings = directory, SETTINGS | settings
        self._stack: ExitStack | None = None
        self.server: Server

    def start(self) -> None:
        self._stack = ExitStack()
        self.server = self._stack.enter_context(
            private_server(directory=self.directory, settings=self._settings)
        )

    def start_promoted(self) -> None:
        """A standby becomes the primary as soon as it runs: `pg_ctl promote`, since its own server does not wait."""
        control = self.directory / "data" / "standby.signal"
        control.unlink()
        (self.directory / "data" / "recovery.signal").touch()
        if user := system_user():
            shutil.chown(self.directory / "data" / "recovery.signal", user, user)
        self._settings |= {"restore_command": "false", "recovery_target_timeline": "latest"}
        self.start()
        wait_for(
            lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)], 30, "the standby to take over"
        )

    def stop(self) -> None:
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def kill(self) -> None:
        """SIGKILL to the whole server, as if the machine had lost its power."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.stop()

    def options(self) -> dict[str, Any]:
        return self.server.options("postgres")

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        with self.server.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def position(self) -> chain.Position:
        ((timeline, lsn),) = self.execute(
            "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int,"
            " pg_current_wal_flush_lsn()::text"
        )
        return chain.Position(*wal.place_in(timeline, lsn, SEGMENT))

    def log(self, name: str) -> bytes:
        return (self.directory / "data" / "pg_wal" / name).read_bytes()

    def take_over(self, directory: Path) -> "MortalPostgresql":
        """A standby of this server, which becomes the primary after this one was killed."""
        fresh = MortalPostgresql(directory)
        directory.mkdir(mode=0o700)
        environment = os.environ | {"PGPASSFILE": str(directory / "pgpass")}
        shutil.copy(self.directory / "password", directory / "password")
        (directory / "pgpass").touch(mode=0o600)
        (directory / "pgpass").write_text(f"*:*:*:*:{(directory / 'password').read_text()}\n")
        user = system_user()
        subprocess.run(
            ["pg_basebackup", f"--pgdata={directory / 'data'}", "--host=127.0.0.1", f"--port={self.server.port}",
             f"--username={self.server.administrator}", "--checkpoint=fast", "--wal-method=stream"],
            env=environment, check=True,
        )  # fmt: skip
        (directory / "data" / "standby.signal").touch()
        for path in (directory, *directory.rglob("*")):
            if user:
                shutil.chown(path, user, user)
        return fresh


class PostgresqlArchive(Archive):
    """The same, with positions that go on by themselves."""

    mortal: MortalPostgresql  # type: ignore[assignment]

    def moved(self) -> None:
        """The server has another address now."""
        source = self.stream.source
        source.options = self.mortal.options()
        source.save()

    def catch_up(self, seconds: float = 20) -> None:
        wanted = self.mortal.position()
        try:
            wait_for(lambda: self._has(wanted), seconds)
        except AssertionError:
            raise AssertionError(
                f"The archive is at {self.newest()}, not at {wanted}: {self.said()}"
            ) from None

    def _has(self, wanted: chain.Position) -> bool:
        newest = self.newest()
        return newest is not None and (wal.order(newest.log), newest.offset) >= (
            wal.order(wanted.log),
            wanted.offset,
        )

    def all_logs(self, folder: str = "logs") -> dict[str, bytes]:
        """Everything that is archived of the newest life of the log."""
        directory = self.folder / folder
        directory.mkdir()
        segments = read.segments(self.stream)
        newest = [one for one in segments if one.incarnation == segments[-1].incarnation]
        found = read.fetch(self.stream, newest, directory, [self.identity])
        return {path.name: path.read_bytes() for path in found}


@pytest.fixture
def mortal() -> Iterator[MortalPostgresql]:
    # Short, for the socket; and the server's own user has to get in.
    directory = Path(tempfile.mkdtemp(prefix="drc-p-", dir="/var/tmp"))
    directory.chmod(0o755)
    one = MortalPostgresql(directory / "s")
    one.start()
    one.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    yield one
    one.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def archive(mortal: MortalPostgresql, tmp_path: Path) -> Iterator[PostgresqlArchive]:
    identity = pyrage.x25519.Identity.generate()
    RecoveryKey.objects.create(name="test", recipient=str(identity.to_public()))
    one = PostgresqlArchive(mortal, tmp_path, identity)  # type: ignore[arg-type]
    yield one
    one.kill()
