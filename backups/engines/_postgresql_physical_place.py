"""A place that a base backup is restored into, and the private server that answers for it."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from backups.engines import _postgresql_replay as replaying
from backups.engines._physical import Place
from backups.engines._postgresql_address import address_of, connected
from backups.engines._postgresql_physical_snapshot import ABOUT, joined, of_recovered
from backups.engines._postgresql_replay import Stop
from backups.engines._postgresql_rights import look
from backups.engines._postgresql_snapshot import current_witness
from backups.servers.postgresql import system_user
from backups.servers.postgresql_recovered import CARRIED, Recovered, installation_of, recovered_server
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
CHECK_SECONDS = 24 * 3600


class PostgreSQLPlace(Place[Recovered]):
    """Of a base backup: its server replays the log as it starts, which is told before how far."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._until: dict[str, str] = {}
        self._stop: Stop | None = None

    def user(self) -> str | None:
        return system_user()

    def make(self) -> None:
        super().make()
        if (user := self.user()) is not None:
            self._check_reachable(user)

    def _check_reachable(self, user: str) -> None:
        """The server never runs as root; whom it runs as has to get there."""
        closed = [
            above for above in self.path.parents if not above.stat().st_mode & 0o001 and above.owner() != user
        ]
        if closed:
            raise OperationFailed(
                f"The user {user}, whom the server runs as, cannot pass through {closed[-1]}.",
                f"Name an absolute path that {user} can reach, such as /var/lib/postgresql/restored.",
                permanent=True,
            )

    def unpack(self) -> Command:
        """tar, as the user of the server: what comes out of a set is not trusted with root's rights."""
        argv = (
            "tar", "--extract", "--file=-", f"--directory={self.data}", "--no-same-owner", "--same-permissions",
            "--warning=no-timestamp",
        )  # fmt: skip
        return Command(argv, env={"LC_ALL": "C"}, user=system_user(), directory="/", stops_early=True)

    def check(self) -> None:
        """Every file against the manifest that the server wrote; and is the log that it needs all there?"""
        tool = installation_of(self.data).binaries / "pg_verifybackup"
        ours = f"--ignore={ABOUT}"
        argv = (str(tool), "--quiet", ours, str(self.data))
        run(Command(argv, user=system_user(), directory="/"), timeout=CHECK_SECONDS)

    def about(self) -> Mapping[str, Any]:
        """What the set says of itself. Raises OperationFailed for what no set of ours says."""
        file = self.data / ABOUT
        try:
            found = {} if file.is_symlink() else dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            found = {}
        names = [found.get("superuser"), *found.get("databases", ())]
        if not all(isinstance(name, str) and name.isprintable() for name in names):
            raise OperationFailed(
                f"The base backup does not say who may sign in to it ({ABOUT}).",
                "Take another set.",
                permanent=True,
            )
        return found

    def replay(self, files: Sequence[Path], stop: tuple[str, int], moment: datetime | None = None) -> Stop:
        """Add archived log before the server runs for the first time: it will stop at the byte `stop` of a file, or with
        `moment` before the first commit after it. Raises OperationFailed when the log does not hold the way."""
        if self._server is not None or not (self.data / "backup_label").is_file():
            raise OperationFailed("The server has run already, and cannot replay more.", permanent=True)
        replaying.add(files, self.data)
        position = self.about().get("position") or {}
        begin, own = str(position.get("stop")), str(position.get("lsn", ""))
        if not LSN.fullmatch(begin) or (own and not LSN.fullmatch(own)):
            raise OperationFailed("The base backup does not say where it ends.", permanent=True)
        found = replaying.find(installation_of(self.data), self.data, (begin, own), stop, moment)
        self._until = {
            "recovery_target_lsn": found.lsn, "recovery_target_inclusive": "on",
            "recovery_target_timeline": str(found.timeline),
        }  # fmt: skip
        self._stop = found
        return found

    def start(self) -> Recovered:
        """The server over it, recovered; the first time it replays the log. It runs until `stop`."""
        if self._server is None:
            about = self.about()
            settings = about.get("settings") or {}
            self._server = self._stack.enter_context(
                recovered_server(
                    self.path, about["superuser"], until=self._until or self._moment(about),
                    carried={name: str(int(settings[name])) for name in CARRIED if name in settings},
                )
            )  # fmt: skip
            if self._stop is not None:
                replaying.require_reached(self.data, self._stop)
        return self._server

    def _moment(self, about: Mapping[str, Any]) -> dict[str, str]:
        """The moment of the witness; none: as far as the log of the set goes."""
        lsn = str((about.get("position") or {}).get("lsn"))
        if not LSN.fullmatch(lsn):
            return {}
        return {
            "recovery_target_lsn": lsn, "recovery_target_inclusive": "off", "recovery_target_timeline": "current"
        }  # fmt: skip

    def witness(self) -> Witness:
        with self.running() as server:
            found = []
            for name in self.about()["databases"]:
                address = address_of(server.options(name))
                with connected(address) as connection:
                    scope = look(connection, (), ())
                found.append(of_recovered(name, scope, current_witness(address, (), ())))
            return joined(found)

    def answer(self) -> None:
        if self._server is not None:
            with connected(address_of(self._server.options("template1"))):
                return
