"""What the engines for a whole server as files share: the place that a set is restored into, with its private server."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from backups.engines._places import beside_path, remove_place
from backups.engines.base import Engine
from backups.logs.chain import Position as LogPosition
from backups.witness import Witness
from drcenter.errors import OperationFailed

Running = TypeVar("Running")


class Place(ABC, Generic[Running]):
    """The directory `path`; the data directory is `data` in it, and beside it what the private server needs."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, path / "data"
        self._stack = ExitStack()
        self._server: Running | None = None
        self._made = False

    @abstractmethod
    def user(self) -> str | None:
        """Whom the server runs as; None: as ourselves."""

    @abstractmethod
    def start(self) -> Running:
        """The server over it; it runs until `stop`."""

    @abstractmethod
    def witness(self) -> Witness:
        """What the server holds."""

    @abstractmethod
    def answer(self) -> None:
        """Raises OperationFailed when the server ran and is gone."""

    def make(self) -> None:
        """An empty directory, whose data the server's user owns. Raises OperationFailed."""
        user = self.user()
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

    def stop(self) -> None:
        self._server = None
        self._stack.close()

    @contextmanager
    def running(self) -> Iterator[Running]:
        """The server, for as long as the context; it goes on if it ran before."""
        ran = self._server is not None
        try:
            yield self.start()
        finally:
            if not ran:
                self.stop()

    def remove(self) -> None:
        self.stop()
        if self._made:
            remove_place(self.path)


Restored = TypeVar("Restored", bound=Place[Any])


class PhysicalEngine(Engine, Generic[Restored]):
    """A whole server; its options are those of the source, also where this is a place that was restored."""

    one_moment = True
    whole_server = True
    beside_on_disk = True
    # What `Place` is for this kind of server.
    place_type: type[Restored]
    # The directory of the worker that a place beside with a bare name lies in.
    below: str
    _place: Restored | None = None

    @property
    def on_disk(self) -> str:
        return str(self._place.path) if self._place is not None else ""

    @property
    def restored(self) -> Restored:
        """The place that this is restored into. Raises OperationFailed for the source itself."""
        if self._place is None:
            raise OperationFailed(self.for_reading, permanent=True)
        return self._place

    def log_positions(self, position: Mapping[str, Any]) -> tuple[LogPosition, LogPosition | None] | None:
        if not position.get("file"):
            return None
        return LogPosition(str(position["file"]), int(position["position"])), None

    def witness(self) -> Witness:
        return self.restored.witness()

    def at(self, path: Path) -> Self:
        """The place in the directory `path`."""
        copy = self.replaced()
        copy._place = self.place_type(path)
        return copy

    def beside(self, name: str) -> Self:
        """Its data directory is `data` in the directory `name`; a bare name lies below the worker's own directory."""
        return self.at(Path(beside_path(str(Path.cwd() / self.below), name)))

    def prepare(self, *, overwrite: bool) -> None:
        self.restored.make()

    def answer(self) -> None:
        self.restored.answer()

    def drop(self) -> None:
        self.restored.remove()
