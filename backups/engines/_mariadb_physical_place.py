"""A place that a physical backup is restored into, and the private server that answers for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from backups.engines._mariadb_commands import Login
from backups.engines._mariadb_connect import connected, execute
from backups.engines._mariadb_physical_snapshot import witness_of
from backups.engines._physical import Place
from backups.servers.confine import confined
from backups.servers.mariadb import Server, service_user
from backups.servers.mariadb_recovered import recovered_server
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.process import Command, find, run

ABOUT = "drcenter.json"
LONGEST = 1 << 20
PREPARE_SECONDS = 24 * 3600


class MariaDBPlace(Place[Server]):
    """Of mariabackup: its files, which `prepare` brings to one moment before the server may run."""

    def user(self) -> str | None:
        return service_user()

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
        if self._server is None:
            lower_case = int(self.about().get("lower_case") or 0)
            self._server = self._stack.enter_context(recovered_server(self.path, lower_case=lower_case))
        return self._server

    def witness(self) -> Witness:
        with self.running() as server, connected(login_of(server)) as connection:
            execute(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            execute(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
            return witness_of(connection, self.about()["databases"])

    def answer(self) -> None:
        if self._server is not None:
            with connected(login_of(self._server)):
                return


def login_of(server: Server) -> Login:
    return Login("127.0.0.1", 3306, server.user, server.password, socket=server.socket)
