"""Redis: the whole server as one RDB file, which the server itself writes over its replication link."""

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.engines._places import beside_path
from backups.engines._redis_server import AOF, Reach, Told, ask, dump_command, held_in
from backups.engines.base import Consumer, Engine, Finding, Inspection, NoScratch, PartSpec, Snapshot
from backups.witness import Content, Witness
from drcenter.errors import OperationFailed
from drcenter.options import SecretField
from drcenter.process import find
from drcenter.secrets import resolve

BLOCK = 1 << 20
MAGIC = b"REDIS"
NOT_STILL = "it changed while the dump was taken: the numbers of its keys differ before and after"
APPENDING = Finding(
    "The server keeps an append-only file (appendonly yes): at its start it reads that, not the RDB file.",
    "After a restore, before the start: move appendonlydir away, start with appendonly no, then CONFIG SET appendonly yes.",
)


class Options(forms.Form):
    host = forms.CharField(label=_("Host"), initial="127.0.0.1", required=False)
    port = forms.IntegerField(label=_("Port"), initial=6379, min_value=1, max_value=65535)
    unix_socket = forms.CharField(label=_("Socket"), required=False, initial="",
                                  help_text=_("Path of the server's socket; used instead of host and port."))  # fmt: skip
    user = forms.CharField(
        label=_("User"), required=False, initial="", help_text=_("Of Redis 6 and newer; empty: default.")
    )
    password = SecretField(label=_("Password"), initial="")
    tls = forms.BooleanField(label=_("Encrypted connection"), required=False, initial=False)
    file = forms.CharField(
        label=_("RDB file"), initial="/var/lib/redis/dump.rdb", max_length=4096,
        help_text=_("Where a restore puts the file. The server has to be stopped for that."),
    )  # fmt: skip

    def clean_file(self) -> str:
        path = os.path.normpath(str(self.cleaned_data["file"]))
        if not os.path.isabs(path) or "\0" in path or path.endswith("/"):
            raise ValidationError(_("Write an absolute path."))
        return path


class Plugin(Engine):
    label = "Redis"
    Options = Options
    required_tools = ("redis-cli",)
    beside_on_disk = True
    # A file alone, of which nothing runs: scratch places and those beside.
    _is_file = False

    @property
    def _reach(self) -> Reach:
        options = self.options
        return Reach(
            str(options["host"] or "127.0.0.1"), int(options["port"]), str(options["unix_socket"]),
            str(options["user"]), resolve(options["password"]), bool(options["tls"]),
        )  # fmt: skip

    @property
    def path(self) -> Path:
        return Path(self.options["file"])

    @property
    def on_disk(self) -> str:
        return str(self.path)

    @property
    def target(self) -> str:
        options = self.options
        if self._is_file:
            return f"Redis file {self.path}"
        return f"Redis at {options['unix_socket'] or '{}:{}'.format(options['host'], options['port'])}, file {self.path}"

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def host(self) -> str:
        options = self.options
        local = options["unix_socket"] or options["host"] in {"", "127.0.0.1", "::1", "localhost"}
        return socket.gethostname() if local else str(options["host"])

    def inspect(self) -> Inspection:
        told = ask(self._reach)
        facts = {"version": told.version, "keys": sum(told.keys.values())}
        return Inspection(told.memory, facts, [APPENDING] if told.appending else [])

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        yield _Moment(self._reach)

    def witness(self) -> Witness:
        """Of the file, which a private server loads; of no running one, which may have moved on."""
        with held_in(self.path) as told:
            return witness_of(told)

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) != ("dump", "rdb"):
            raise OperationFailed(f"A set of Redis has no part {part}.{suffix}.", permanent=True)
        return self._put

    def _put(self, stream: BinaryIO) -> None:
        """The whole file, or none: written beside, then put in its place with the owner of what was there."""
        fresh = self.path.with_name(f"{self.path.name}.drcenter")
        try:
            with open(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
            ) as file:
                shutil.copyfileobj(stream, file, BLOCK)
                file.flush()
                os.fsync(file.fileno())
            _check_magic(fresh)
            like = self.path if self.path.exists() else self.path.parent
            status = like.stat()
            if os.geteuid() == 0:
                os.chown(fresh, status.st_uid, status.st_gid)
            if like == self.path:
                fresh.chmod(status.st_mode & 0o777)
            fresh.rename(self.path)
        except OSError as error:
            raise OperationFailed(f"{self.path} cannot be written: {error.strerror}.") from None
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    @contextmanager
    def _scratch(self, workspace: Path) -> Iterator[Engine]:
        try:
            find("redis-server")
        except OperationFailed as error:
            raise NoScratch(error.message, error.hint, permanent=True) from None
        place = self._at(str(workspace / "dump.rdb"))
        try:
            yield place
        finally:
            place.drop()

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        return self._scratch(workspace)

    def _at(self, path: str) -> "Plugin":
        place = self.replaced(file=path)
        place._is_file = True
        return place

    def beside(self, name: str) -> "Plugin":
        return self._at(beside_path(str(self.path), name))

    def prepare(self, *, overwrite: bool) -> None:
        """Raises OperationFailed while the server runs: at its end it would write over what was restored."""
        if not self._is_file:
            self._require_stopped()
        if not overwrite and os.path.lexists(self.path):
            raise OperationFailed(f"{self.path} exists already.", "Choose another name.", permanent=True)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OperationFailed(f"{self.path.parent} cannot be created: {error.strerror}.") from None

    def _require_stopped(self) -> None:
        if self._reach.listens():
            raise OperationFailed(
                f"{self.target} runs: when it stops, it writes its own data over the file.",
                "Add its stop to the stop commands of the system, and its start to the start commands:"
                " systemctl stop redis-server.",
                permanent=True,
            )
        if (self.path.parent / AOF).exists():
            raise OperationFailed(
                f"Beside {self.path} lies {AOF}, which the server reads at its start instead of the file.",
                APPENDING.hint, permanent=True,
            )  # fmt: skip

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)


class _Moment(Snapshot):
    """The moment is the server's own: it forks, and writes what it held then."""

    position: Mapping[str, Any] = {}

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._before = ask(reach)

    def parts(self) -> Iterator[PartSpec]:
        yield PartSpec("dump", "rdb", (dump_command(self._reach),), smallest=18)

    def witness(self) -> Witness:
        after = ask(self._reach)
        before = witness_of(self._before)
        moved = {name for name in self._before.lasting.keys() | after.lasting.keys()
                 if self._before.lasting.get(name) != after.lasting.get(name)}  # fmt: skip
        return Witness(before.objects, before.contents, dict.fromkeys(sorted(moved), NOT_STILL))


def witness_of(told: Told) -> Witness:
    """Of each database the number of keys that do not expire, and of the server its libraries of functions."""
    return Witness(
        {"functions": ", ".join(told.functions)},
        {name: Content(count, "") for name, count in told.lasting.items() if count},
    )


def _check_magic(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise OperationFailed("The part is no RDB file.", permanent=True)
