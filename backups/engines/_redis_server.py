"""Asking a Redis server, dumping it, and loading a file into a private one.

The password goes to redis-cli on its standard input (`--askpass`), from a file in memory: with REDISCLI_AUTH it would
stand in the environment, which every process of the same user can read in /proc, and with `-a` in the list of processes.
"""

import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backups.engines._temporary import protected_directory
from drcenter.errors import OperationFailed
from drcenter.process import DEVNULL, Child, Command, run, start
from drcenter.secrets import Secret

SECONDS = 60
# For a file of 10 GB on a slow disk.
LOADING_SECONDS = 1800.0
AOF = "appendonlydir"
KEYSPACE = re.compile(r"^(db\d+):keys=(\d+),expires=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Reach:
    """Where the server is, and as whom."""

    host: str
    port: int
    socket: str
    user: str
    password: Secret
    tls: bool = False

    def words(self) -> tuple[str, ...]:
        place = ("-s", self.socket) if self.socket else ("-h", self.host, "-p", str(self.port))
        user = ("--user", self.user) if self.user else ()
        return (*place, *user, *(("--tls",) if self.tls else ()))

    def listens(self) -> bool:
        """True if something answers there, whether it lets us in or not. Raises nothing."""
        family = socket.AF_UNIX if self.socket else None
        try:
            if family is None:
                socket.create_connection((self.host, self.port), 5).close()
            else:
                with socket.socket(family) as probe:
                    probe.settimeout(5)
                    probe.connect(self.socket)
        except OSError:
            return False
        return True


def command(reach: Reach, *words: str) -> Command:
    """redis-cli with these words; the password comes on its standard input, if there is one."""
    argv = ("redis-cli", *reach.words(), *words)
    if not reach.password:
        return Command(argv)
    # --askpass reads one line of standard input; `sh` opens it, since the child has none of ours.
    named = (*argv[:1], "--askpass", "--no-auth-warning", *argv[1:])
    return Command(
        ("sh", "-c", 'file=$1; shift; exec "$@" <"$file"', "sh", "{redis password}", *named),
        files={"redis password": Secret(reach.password.reveal() + "\n")},
    )


def dump_command(reach: Reach) -> Command:
    return command(reach, "--rdb", "-")


@dataclass(frozen=True)
class Told:
    """What a server says of itself. `lasting`: keys without an expiry, by database."""

    version: str
    memory: int
    appending: bool
    keys: Mapping[str, int]
    lasting: Mapping[str, int]
    functions: Sequence[str]


def ask(reach: Reach) -> Told:
    """Raises OperationFailed when the server is out of reach, or does not let us in."""
    text = _answer(reach, "INFO")
    fields = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    if "redis_version" not in fields:
        raise _explained(text)
    found = KEYSPACE.findall(text)
    return Told(
        fields["redis_version"], int(fields.get("used_memory", 0)), fields.get("aof_enabled") == "1",
        {name: int(keys) for name, keys, _expires in found},
        {name: int(keys) - int(expires) for name, keys, expires in found},
        _functions(reach, fields["redis_version"]),
    )  # fmt: skip


def _functions(reach: Reach, version: str) -> list[str]:
    """Names of the libraries of functions, which Redis has since 7."""
    if int(version.partition(".")[0]) < 7:
        return []
    lines = _answer(reach, "FUNCTION", "LIST").splitlines()
    return sorted(lines[at + 1] for at, line in enumerate(lines[:-1]) if line == "library_name")


def _answer(reach: Reach, *words: str) -> str:
    try:
        return run(command(reach, *words), timeout=SECONDS).stdout.decode(errors="replace").replace("\r", "")
    except OperationFailed as error:
        raise OperationFailed(
            f"Redis cannot be reached: {error.message}", "Check address, password, and that the server runs.",
        ) from None  # fmt: skip


def _explained(text: str) -> OperationFailed:
    first = text.strip().partition("\n")[0][:200]
    if "NOAUTH" in first or "WRONGPASS" in first or "NOPERM" in first:
        return OperationFailed(
            f"Redis does not let us in: {first}",
            "Check user and password. Rights: ACL SETUSER backup on >… +info +psync +replconf +function|list +ping",
            permanent=True,
        )
    return OperationFailed(
        f"Redis gives no information: {first or 'nothing'}", "Look at the log of the server."
    )


@contextmanager
def held_in(path: Path) -> Iterator[Told]:
    """What a private server says that has loaded a copy of the file `path`. It has no port, and writes nothing.

    Raises OperationFailed when it does not load: the server checks the file's own checksum.
    """
    # A socket's path has at most 107 bytes: not below the state directory, whose path may be long.
    with protected_directory() as workspace, tempfile.TemporaryDirectory(prefix="drcenter-redis-") as short:
        try:
            shutil.copyfile(path, workspace / "dump.rdb")
        except OSError as error:
            raise OperationFailed(f"{path} cannot be read: {error.strerror}.") from None
        place = Path(short) / "s"
        argv = (
            "redis-server", "--port", "0", "--unixsocket", str(place), "--unixsocketperm", "700", "--save", "",
            "--appendonly", "no", "--dir", str(workspace), "--dbfilename", "dump.rdb", "--daemonize", "no",
            "--logfile", "", "--enable-module-command", "no",
        )  # fmt: skip
        with start(Command(argv), stdout=DEVNULL) as child:
            yield _loaded(child, Reach("", 0, str(place), "", Secret("")))


def _loaded(child: Child, reach: Reach) -> Told:
    deadline = time.monotonic() + LOADING_SECONDS
    while time.monotonic() < deadline:
        if child.code is not None:
            raise OperationFailed(
                f"redis-server does not load the file (exit code {child.code}): {child.stderr[-500:] or 'no message'}",
                "Take another set; if all fail, look whether this server is older than the source.",
                permanent=True,
            )
        if reach.listens() and "loading:0" in _answer(reach, "INFO", "persistence"):
            return ask(reach)
        time.sleep(0.05)
    raise OperationFailed(f"redis-server did not load the file within {LOADING_SECONDS:.0f} s.")
