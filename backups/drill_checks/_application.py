"""Starts programs of a restored application, enclosed (backups/servers/enclosure.py), on its restored database."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.dotenv import parse
from backups.drill_checks._environment import overrides
from backups.drill_checks.base import Scene
from backups.engines.base import Door
from backups.servers.enclosure import NOT_ENCLOSED, Ask, Given, enclosed
from drcenter.errors import OperationFailed
from drcenter.process import Children, Command, Finished, run

# Where things stand inside.
FILES, DATABASE = "/drill/files", "/drill/database"
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Bytes of a .env that are read; characters of an output that are shown.
LARGEST_ENV, SHOWN = 1 << 20, 500
# To put the sources of an application together.
COPY_SECONDS = 600


class ApplicationOptions(forms.Form):
    """What all checks of an application have."""

    source = forms.CharField(
        label=gettext_lazy("Source of the files"), max_length=60,
        help_text=gettext_lazy("The name of the source that holds the application's files."),
    )  # fmt: skip
    directory = forms.CharField(
        label=gettext_lazy("Directory"), initial=".", max_length=1000,
        help_text=gettext_lazy("Of the application, below the source's own."),
    )  # fmt: skip
    database = forms.CharField(
        label=gettext_lazy("Database"), required=False, initial="", max_length=60,
        help_text=gettext_lazy("The name of the source that the application works on. Empty: none."),
    )  # fmt: skip
    libraries = forms.CharField(
        label=gettext_lazy("Libraries"), required=False, initial="", max_length=1000,
        help_text=gettext_lazy(
            "Where a set leaves out vendor/: the absolute path of such a directory on this machine, for reading only. The"
            " drill then says nothing of the libraries."
        ),
    )  # fmt: skip
    seconds = forms.IntegerField(
        label=gettext_lazy("Seconds at most"), initial=60, min_value=1, max_value=3600
    )


@dataclass(frozen=True)
class Application:
    """A restored application: its files, and the way to its restored database."""

    scene: Scene
    # The directory that the source restored, and that of the application below it, as a path relative to it.
    root: str
    directory: str
    door: Door | None
    seconds: float
    # What else stands inside: other sources below its directory, and libraries.
    joined: tuple[Given, ...] = ()

    def run(self, *argv: str, ask: Ask | None = None, **variables: str) -> Finished:
        """Run a command in the application's directory; its end, however it ended.

        Raises OperationFailed when it cannot be started, or does not end in time.
        """
        root = tempfile.mkdtemp(prefix="root-", dir=self.scene.workspace)
        try:
            words = enclosed(
                argv, root=root, given=self._given(), directory=self._inside, owner=self._owner(), ask=ask
            )
            command = Command(words, env=self._environment() | variables, inherit=())
            ended = run(command, timeout=self.seconds, children=self.scene.children, check=False)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        if ended.code == NOT_ENCLOSED:
            raise OperationFailed(
                _("The application was not started: this machine cannot enclose it (%(why)s).")
                % {"why": ended.stderr.strip()},
                _("Allow the worker namespaces (as root, or unprivileged user namespaces); or let another machine drill."),
                permanent=True,
            )  # fmt: skip
        if ended.code < 0:
            raise OperationFailed(
                _("%(command)s did not end within %(seconds)d s.")
                % {"command": " ".join(argv)[:80], "seconds": self.seconds}
            )
        return ended

    @property
    def _inside(self) -> str:
        return os.path.normpath(f"{FILES}/{self.directory}")

    @property
    def _outside(self) -> str:
        return os.path.join(self.root, self.directory)

    def _environment(self) -> dict[str, str]:
        base = {"PATH": PATHS, "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108 - its own, inside
        return base | overrides(self._names(), reached(self.door))

    def _names(self) -> list[str]:
        """The variables of the restored .env; their values stay in it."""
        try:
            with open(os.path.join(self._outside, ".env"), "rb") as file:
                return list(parse(file.read(LARGEST_ENV)).values)
        except FileNotFoundError:
            return []

    def _given(self) -> list[Given]:
        given = [Given(self.root, FILES, writable=True), *self.joined]
        if self.door is None:
            return given
        if self.door.kind == "sqlite":
            return [*given, Given(os.path.dirname(self.door.path), DATABASE, writable=True)]
        return [
            *given,
            Given(self.door.path, f"{DATABASE}/{os.path.basename(self.door.path)}", writable=True),
        ]

    def _owner(self) -> tuple[int, int]:
        """As whom it runs: the owner of its .env, who can read it, or else of its directory."""
        for name in (".env", "artisan", "."):
            path = os.path.join(self._outside, name)
            if os.path.lexists(path):
                status = os.lstat(path)
                return status.st_uid, status.st_gid
        raise OperationFailed(
            _("The directory %(path)s was not restored.") % {"path": self.directory},
            _("Correct the check."),
            permanent=True,
        )


def application(scene: Scene, options: Mapping[str, Any]) -> Application:
    """The restored application, put together of its sources: those of files that lie in the same directory, or below it.

    Raises OperationFailed when it was not restored, or leads out of its source.
    """
    source, below = options["source"], os.path.normpath(options["directory"] or ".")
    place = scene.place(source)
    root = os.path.realpath(place.on_disk) if place.on_disk else ""
    inside = os.path.realpath(os.path.join(root, below)) if root else ""
    if not root or not os.path.isdir(inside) or not (inside == root or inside.startswith(f"{root}/")):
        raise OperationFailed(
            _("The directory %(path)s was not restored.") % {"path": f"{source}: {options['directory']}"},
            _("Correct the check: the source has to be one of files, and the directory below its own."),
            permanent=True,
        )
    joined = [*_joined(scene, source, root), *_libraries(options["libraries"], below)]
    door = scene.place(options["database"]).door() if options["database"] else None
    made = Application(scene, root, os.path.relpath(inside, root), door, options["seconds"], tuple(joined))
    if door is not None and door.kind == "sqlite":
        _let_use(Path(door.path), made._owner())
    return made


def _joined(scene: Scene, source: str, root: str) -> Iterator[Given]:
    """The other sources of files of the same application, where they belong: its settings are often one of their own.

    What lies in the same directory is copied into the scratch place of `source`; it was compared before.
    """
    base = os.path.normpath(scene.originals.get(source) or root)
    for name, place in scene.places.items():
        path, here = os.path.normpath(scene.originals.get(name) or "/"), place.on_disk
        if name == source or not here or not os.path.isdir(here):
            continue
        if path == base:
            _copy(here, root, scene.children)
        elif path.startswith(f"{base}/"):
            yield Given(here, f"{FILES}/{os.path.relpath(path, base)}", writable=True)


def _copy(tree: str, into: str, children: Children | None) -> None:
    run(Command(("cp", "-a", "--", f"{tree}/.", into)), timeout=COPY_SECONDS, children=children)


def _libraries(path: str, below: str) -> Iterator[Given]:
    if not path:
        return
    if not os.path.isabs(path) or not os.path.isdir(path):
        raise OperationFailed(
            _("%(path)s is no directory of this machine.") % {"path": path}, _("Correct the check."), permanent=True
        )  # fmt: skip
    yield Given(path, os.path.normpath(f"{FILES}/{below}/vendor"))


def reached(door: Door | None) -> dict[str, str]:
    """How Laravel, and whoever reads the same variables, reaches the restored database from inside."""
    if door is None:
        return {}
    inside = f"{DATABASE}/{os.path.basename(door.path)}"
    if door.kind == "sqlite":
        return {"DB_CONNECTION": "sqlite", "DB_DATABASE": inside}
    # The password is one of a server that only this drill can reach, and that ends with it.
    login = {
        "DB_CONNECTION": door.kind, "DB_DATABASE": door.database, "DB_USERNAME": door.user,
        "DB_PASSWORD": door.password.reveal(),
    }  # fmt: skip
    if door.kind == "mysql":
        return login | {"DB_HOST": "localhost", "DB_SOCKET": inside}
    # libpq takes a host that begins with a slash for the directory of the socket; its name ends with the port.
    return login | {"DB_HOST": DATABASE, "DB_PORT": door.path.rpartition(".")[2], "DB_SSLMODE": "disable"}


def _let_use(path: Path, owner: tuple[int, int]) -> None:
    """A scratch copy is the worker's; its application has to write beside it, as SQLite does even to read."""
    if os.geteuid() != 0:
        return
    for one in (path.parent, *path.parent.glob(f"{path.name}*")):
        os.chown(one, *owner)


def last_words(ended: Finished) -> str:
    """What a program said at its end: PHP writes its fatal errors to standard output."""
    text = f"{ended.stderr}\n{ended.stdout.decode(errors='replace')}".strip()
    return " ".join(text[-SHOWN:].split())
