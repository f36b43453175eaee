"""Where the controls of the tests stand: real commands, in a directory of theirs."""

from collections.abc import Mapping
from pathlib import Path

from drcenter.process import Command, find
from drcenter.secrets import Secret
from drcenter.systems.commands import printed


class TestGround:
    """As halt.ApplicationsGround, without a row. `tools` come before those of the machine."""

    __test__ = False

    def __init__(self, directory: Path, tools: Path | None = None) -> None:
        self.directory, self._tools = str(directory), tools

    def path(self, words: tuple[str, ...]) -> None:
        find(self._tool(words[0]))

    def run(
        self, *words: str, files: Mapping[str, Secret] | None = None, accepted: tuple[int, ...] = (0,)
    ) -> str:
        argv = (self._tool(words[0]), *words[1:])
        return printed(Command(argv, directory=self.directory, files=files or {}, accepted=accepted))

    def _tool(self, name: str) -> str:
        own = self._tools / name if self._tools else None
        return str(own) if own is not None and own.exists() else name
