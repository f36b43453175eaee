"""A MariaDB server of its own that can be killed, and an archiver of its log in a process that can be killed, too."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyrage
import pytest
from django.conf import settings

from backups.logs import chain, read
from backups.models import Destination, LogStream, Plan, RecoveryKey, Source
from backups.servers.mariadb import Server, private_server
from drcenter.systems.models import System
from tests.live.running import database_url, wait_for

__all__ = ["Archive", "Mortal", "wait_for"]


class Mortal:
    """A server that starts again with the same data, under the same address."""

    engine = "mariadb"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o755, exist_ok=True)
        self._stack: ExitStack | None = None
        self.server: Server

    def start(self) -> None:
        self._stack = ExitStack()
        self.server = self._stack.enter_context(private_server(self.directory, keep=True, binlog=True))
        self.password.touch(mode=0o600)
        self.password.write_text(self.server.password.reveal())

    @property
    def password(self) -> Path:
        return self.directory / "password"

    def stop(self) -> None:
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)
        self.stop()

    def execute(self, *statements: str) -> list[tuple]:
        """Each commits by itself; what the last one returns."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def position(self) -> chain.Position:
        ((log, offset, *_more),) = self.execute("SHOW MASTER STATUS")
        return chain.Position(str(log), int(offset))

    def options(self) -> dict[str, object]:
        return {
            "host": "localhost", "socket": self.server.socket, "user": "root", "database": "shop",
            "password": f"file:{self.password}",
        }  # fmt: skip

    def log(self, name: str) -> bytes:
        return (self.directory / "data" / name).read_bytes()


class Archive:
    """A stream of that server, with one or two destinations."""

    def __init__(self, mortal: Mortal, folder: Path, identity: pyrage.x25519.Identity) -> None:
        self.mortal, self.folder, self.identity = mortal, folder, identity
        self.process: subprocess.Popen[bytes] | None = None
        system = System.objects.create(slug="shop", name="Shop")
        source = Source.objects.create(
            system=system, name="database", engine=mortal.engine, tier="database", options=mortal.options()
        )
        self.plan = Plan.objects.create(system=system, name="daily", cron="")
        self.plan.sources.add(source)
        self.stream = LogStream.objects.create(source=source, plan=self.plan, interval=1)
        self.add_destination("first")

    def add_destination(self, name: str) -> Destination:
        place = Destination.objects.create(name=name, kind="local", options={"path": str(self.folder / name)})
        place.build().prepare()
        self.plan.destinations.add(place)
        return place

    # ------------------------------------------------------------------ the process

    def start(self) -> None:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "drcenter.settings",
            "DRC_STATE": str(settings.STATE_DIR),
            "DRC_SECRET_KEY": settings.SECRET_KEY,
            "DRC_DATABASE_URL": database_url(),
        }
        argv = [
            sys.executable,
            str(settings.BASE_DIR / "manage.py"),
            "archive-logs",
            "--stream",
            str(self.stream.pk),
        ]
        with (self.folder / "archiver.log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=environment, stdout=log, stderr=log, cwd=settings.BASE_DIR, start_new_session=True
            )

    def kill(self) -> None:
        """SIGKILL; and its lease is over at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        LogStream.objects.update(heartbeat_at=None)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(30)
        self.process = None
        return code

    # ------------------------------------------------------------------ what is known

    def position(self) -> chain.Position:
        return self.mortal.position()

    def newest(self) -> chain.Position | None:
        """Where the archive ends, at a destination."""
        found = read.segments(self.stream)
        return found[-1].ends_at if found else None

    def catch_up(self, seconds: float = 15) -> None:
        """Wait until everything that the server has now is at a destination."""
        try:
            wait_for(lambda: self.newest() == self.position(), seconds)
        except AssertionError:
            raise AssertionError(f"{self.newest()}, not {self.position()}: {self.said()}") from None

    def said(self) -> str:
        self.stream.refresh_from_db()
        log = self.folder / "archiver.log"
        told = log.read_text()[-2000:] if log.exists() else ""
        return f"{self.stream.state} {self.stream.message} {told}"

    def fetched(self, start: chain.Position, folder: str = "logs") -> dict[str, bytes]:
        directory = self.folder / folder
        directory.mkdir()
        reach = chain.reach(read.segments(self.stream), start)
        return {
            path.name: path.read_bytes()
            for path in read.fetch(self.stream, reach.segments, directory, [self.identity])
        }


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    import shutil
    import tempfile

    # Short, for the socket; and the server's own user has to get in.
    directory = Path(tempfile.mkdtemp(prefix="drc-m-", dir="/tmp"))
    directory.chmod(0o755)
    one = Mortal(directory / "s")
    one.start()
    one.execute("CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)")
    yield one
    one.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def archive(mortal: Mortal, tmp_path: Path) -> Iterator[Archive]:
    identity = pyrage.x25519.Identity.generate()
    RecoveryKey.objects.create(name="test", recipient=str(identity.to_public()))
    one = Archive(mortal, tmp_path, identity)
    yield one
    one.kill()
