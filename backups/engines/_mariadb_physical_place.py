"""A place that a physical backup is restored into, and the private server that answers for it."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from backups.engines._mariadb_commands import Login
from backups.engines._mariadb_connect import connected, execute
from backups.engines._mariadb_physical_snapshot import witness_of
from backups.engines._places import remove_place
from backups.servers.confine import confined
from backups.servers.mariadb import Server, service_user
from backups.servers.mariadb_recovered import recovered_server
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.process import Command, find, run

ABOUT = "drcenter.json"
LONGEST = 1 << 20
PREPARE_SECONDS = 24 * 3600


class Place:
    """The directory `path`; the data directory is `data` in it, and beside it what the private server needs."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, path / "data"
        self._stack = ExitStack()
        self._server: Server | None = None
        self._made = False

    def make(self) -> None:
        """An empty directory, whose data the server's user owns. Raises OperationFailed."""
        user = service_user()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.data.exists():
                raise OperationFailed(f"{self.path} is not empty.", "Choose another name.", permanent=True)
            self._made = True
            self.data.mkdir(mode=0o700)
            if user is not None:
                shutil.chown(self.path, user)
                shutil.chown(self.data, user)
        except OSError as error:
            raise OperationFailed(f"{self.path} cannot be made: {error.strerror}.") from None

    def unpack(self) -> Command:
        return self._confined(find("mbstream"), "--extract", f"--directory={self.data}")

    def prepare(self) -> None:
        """mariabackup --prepare: bring the files to the one moment, from the log that was copied along."""
        tool = find("mariabackup")
        run(
            self._confined(tool, "--no-defaults", "--prepare", f"--target-dir={self.data}", f"--tmpdir={self.path}", "--use-memory=256M"),
            timeout=PREPARE_SECONDS,
        )  # fmt: skip

    def _confined(self, tool: str, *words: str) -> Command:
        """As the server's user, who may write into this place alone: what comes out of a set is not trusted."""
        argv = confined(
            (tool, *words), own=(self.path,), program=Path(tool), report=self.path / "confinement", user=service_user()
        )  # fmt: skip
        return Command(argv, directory="/")

    def note(self, stream: BinaryIO) -> None:
        """What the set says of itself."""
        (self.path / ABOUT).write_bytes(stream.read(LONGEST))

    def about(self) -> Mapping[str, Any]:
        """Raises OperationFailed for what no set of ours says."""
        try:
            found: dict[str, Any] = dict(json.loads((self.path / ABOUT).read_text()))
        except (OSError, ValueError, TypeError):
            found = {}
        if not all(isinstance(name, str) for name in found.get("databases", [None])):
            raise OperationFailed(
                f"The backup does not say what it holds ({ABOUT}).", "Take another set.", permanent=True
            )
        return found

    def start(self) -> Server:
        """The server over it; it runs until `stop`."""
        if self._server is None:
            lower_case = int(self.about().get("lower_case") or 0)
            self._server = self._stack.enter_context(recovered_server(self.path, lower_case=lower_case))
        return self._server

    def stop(self) -> None:
        self._server = None
        self._stack.close()

    @contextmanager
    def running(self) -> Iterator[Login]:
        """How to reach the server, for as long as the context; it goes on if it ran before."""
        ran = self._server is not None
        try:
            yield login_of(self.start())
        finally:
            if not ran:
                self.stop()

    def witness(self) -> Witness:
        with self.running() as login, connected(login) as connection:
            execute(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            execute(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            return witness_of(connection, self.about()["databases"])

    def answer(self) -> None:
        """Raises OperationFailed when the server ran and is gone."""
        if self._server is not None:
            with connected(login_of(self._server)):
                return

    def remove(self) -> None:
        self.stop()
        if self._made:
            remove_place(self.path)


def login_of(server: Server) -> Login:
    return Login("127.0.0.1", 3306, server.user, server.password, socket=server.socket)
