"""The only place that starts a subprocess.

Commands are argv lists, never shell text. Secrets travel in memory files that only the child
can open (`/dev/fd/N`), never in argv or the environment. Each child has a session of its own, so
that its whole group can be killed, and dies with the process that started it: `setpriv --pdeathsig`
sets the signal, and one thread that lives as long as the process starts all children, because the
kernel sends that signal when the *thread* that started the child ends (prctl(2)).
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from types import TracebackType
from typing import BinaryIO, cast

from drcenter.errors import OperationFailed
from drcenter.pipes import feed, memory_file, widen
from drcenter.secrets import Secret, redact

STDERR_LINES = 25
STDERR_LINE = 1 << 16
PIPE = subprocess.PIPE
# For `start(stdout=DEVNULL)`: output that nobody wants.
DEVNULL = subprocess.DEVNULL
# Debian's package for each tool, so that a missing one can be named with its cure.
PACKAGES = {
    "mariadb": "mariadb-client", "mariadb-dump": "mariadb-client", "mysqldump": "mariadb-client",
    "mariadb-binlog": "mariadb-client",
    "mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server",
    "mariabackup": "mariadb-backup", "mbstream": "mariadb-backup",
    "pg_dump": "postgresql-client", "psql": "postgresql-client", "pg_dumpall": "postgresql-client",
    "pg_basebackup": "postgresql-client", "pg_receivewal": "postgresql-client",
    "initdb": "postgresql", "postgres": "postgresql",
    "redis-cli": "redis-tools", "redis-server": "redis-server",
    "setpriv": "util-linux", "timeout": "coreutils",
    "kubectl": "kubernetes-client", "systemctl": "systemd", "sudo": "sudo",
    "tar": "tar", "age": "age", "zstd": "zstd", "php": "php-cli", "git": "git", "openssl": "openssl",
}  # fmt: skip

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def _renew_spawner() -> None:
    """A forked process has none of its parent's threads: the executor would wait for a dead one."""
    global _spawner  # noqa: PLW0603 - one for each process
    _spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


os.register_at_fork(after_in_child=_renew_spawner)


@dataclass(frozen=True)
class Command:
    """What to run: argv, what to add to the environment, and secrets as files.

    `{name}` of a key of `files` in argv or in a value of `env` becomes the path of that file.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Secret] = field(default_factory=dict)
    directory: str | None = None
    # Exit codes that are no failure: tar's 1 says that a file changed while it was read.
    accepted: tuple[int, ...] = (0,)
    # Takes part of the caller's environment only by default: no credential of ours leaks into children.
    inherit: tuple[str, ...] = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
    user: str | None = None
    # tar stops at the mark of the archive's end, before the padding behind it: no failure.
    stops_early: bool = False
    # Write standard output in pieces of 1 MiB. mariadb-dump and pg_dump write 4 KiB at a time into a pipe, which
    # costs them a quarter of their CPU seconds (measured: docs/benchmarks.md).
    large_writes: bool = False
    # What is done to the bytes on their way into standard input; whoever feeds the command asks `input`.
    rewrite: Callable[[Iterable[bytes]], Iterator[bytes]] | None = None

    # What is written to standard input while the command runs, for whoever reads its output (`fed`).
    fed_by: Callable[[], Iterable[bytes]] | None = None

    @property
    def tool(self) -> str:
        return os.path.basename(self.argv[0])

    def input(self, blocks: Iterable[bytes]) -> Iterable[bytes]:
        """What has to be written to standard input so that the command gets `blocks`."""
        return blocks if self.rewrite is None else self.rewrite(blocks)


@dataclass(frozen=True)
class Finished:
    """The end of a command: its exit code, its output, and the last lines of stderr, redacted."""

    code: int
    stdout: bytes
    stderr: str


class Children:
    """The processes of one act; `kill()` ends them all, and refuses new ones from then on.

    Those of a step of the act may be an own `Children`, added to this one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Child | Children] = set()
        self._closed = False

    def add(self, child: "Child | Children") -> None:
        with self._lock:
            if not self._closed:
                self._running.add(child)
                return
        child.kill()

    def discard(self, child: "Child | Children") -> None:
        with self._lock:
            self._running.discard(child)

    def kill(self) -> None:
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            child.kill()


class Child:
    """A running command. Use it as a context manager: leaving kills what still runs."""

    def __init__(self, command: Command, popen: "subprocess.Popen[bytes]", children: Children | None) -> None:
        self.command = command
        self._popen = popen
        self._children = children
        self._tail: deque[str] = deque(maxlen=STDERR_LINES)
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()
        if children is not None:
            children.add(self)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def stdout(self) -> BinaryIO:
        return cast(BinaryIO, self._popen.stdout)

    @property
    def stdin(self) -> BinaryIO:
        return cast(BinaryIO, self._popen.stdin)

    def _read_stderr(self) -> None:
        # Buffered, because an unbuffered pipe is read byte by byte; bounded, because a line may not end.
        # Closed here, at its end: a daemon that the command left may hold it open for longer than the command.
        with BufferedReader(cast(RawIOBase, self._popen.stderr)) as stream:
            while line := stream.readline(STDERR_LINE):
                # Redacted before it is cut: half a secret would not be recognised.
                self._tail.append(redact(line.decode(errors="replace").rstrip("\r\n"))[:2000])

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, however it ended. Raises OperationFailed and kills after `timeout` seconds."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise OperationFailed(f"{self.command.tool} did not end within {timeout:.0f} s.") from None
        self._stderr_reader.join(5)
        if self._children is not None:
            self._children.discard(self)
        return code

    def wait_good(self, timeout: float | None = None) -> str:
        """Wait; return the last lines of stderr. Raises OperationFailed unless the code is accepted."""
        code = self.wait(timeout)
        if code not in self.command.accepted:
            raise OperationFailed(f"{self.command.tool} {describe_exit(code)}: {self.stderr or 'no message'}")
        return self.stderr

    @property
    def code(self) -> int | None:
        return self._popen.poll()

    @property
    def stderr(self) -> str:
        return "\n".join(self._tail)

    def kill(self) -> None:
        """End the whole group at once. Safe to call twice, and after the end."""
        # Not poll(): while nobody has asked for its exit code, its number stays its own, and what it
        # left running in its group can still be told to end.
        if self._popen.returncode is None:
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def terminate(self, grace: float) -> int:
        """SIGTERM to the main process, SIGKILL to the group after `grace` seconds. The exit code."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.wait()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        self.wait()


def describe_exit(code: int) -> str:
    if code < 0:
        return f"was ended by signal {signal.Signals(-code).name}"
    return f"failed with exit code {code}"


def find(tool: str) -> str:
    """The path of `tool`. Raises OperationFailed that names the package to install."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        name = os.path.basename(tool)
        raise OperationFailed(
            f"The tool {name} is not installed.",
            f"Install it: apt-get install {PACKAGES.get(name, name)}",
            permanent=True,
        )
    return path


def start(
    command: Command,
    *,
    stdin: int | BinaryIO = subprocess.DEVNULL,
    stdout: int | BinaryIO = subprocess.PIPE,
    children: Children | None = None,
) -> Child:
    """Start `command`. Raises OperationFailed when the tool is missing or cannot be started."""
    popen = _spawner.submit(_spawn, command, stdin, stdout).result()
    if popen.stdout is not None and stdout == subprocess.PIPE:
        widen(popen.stdout.fileno())
    return Child(command, popen, children)


def _spawn(command: Command, stdin: int | BinaryIO, stdout: int | BinaryIO) -> "subprocess.Popen[bytes]":
    tool, prefix = find(command.argv[0]), _prefix(command)
    descriptors = {name: memory_file(name, secret, command.user) for name, secret in command.files.items()}
    paths = {name: f"/dev/fd/{number}" for name, number in descriptors.items()}
    inherited = {name: os.environ[name] for name in command.inherit if name in os.environ}
    environment = inherited | {name: _placed(value, paths) for name, value in command.env.items()}
    argv = [tool, *(_placed(argument, paths) for argument in command.argv[1:])]
    try:
        return subprocess.Popen(
            [*prefix, *argv],
            env=environment, cwd=command.directory, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
            bufsize=0, start_new_session=True, pass_fds=tuple(descriptors.values()),
        )  # fmt: skip
    except OSError as error:
        raise OperationFailed(f"{command.tool} cannot be started: {error.strerror}.") from None
    finally:
        for number in descriptors.values():
            os.close(number)


def _prefix(command: Command) -> list[str]:
    prefix = [find("setpriv"), "--pdeathsig", "KILL"]
    if command.user is not None:
        prefix += ["--reuid", command.user, "--regid", str(_group(command.user)), "--init-groups"]
    # A starter that died before the signal was set would never send it: the child looks who its parent is.
    prefix += [
        "--",
        find("sh"),
        "-c",
        'unset PWD OLDPWD SHLVL; test "$PPID" = "$0" && exec "$@"',
        str(os.getpid()),
    ]
    return [*prefix, find("stdbuf"), "--output=1M"] if command.large_writes else prefix


def _group(user: str) -> int:
    """The user's own group, which need not be called like the user."""
    try:
        return pwd.getpwnam(user).pw_gid
    except KeyError:
        raise OperationFailed(f"There is no user {user} on this machine.", permanent=True) from None


def _placed(text: str, paths: Mapping[str, str]) -> str:
    for name, path in paths.items():
        text = text.replace("{" + name + "}", path)
    return text


def run(
    command: Command,
    *,
    input: bytes | None = None,
    timeout: float | None = 60,
    children: Children | None = None,
    check: bool = True,
) -> Finished:
    """Run to the end with little output. Raises OperationFailed on a bad exit code if `check`."""
    stdin = subprocess.DEVNULL if input is None and command.fed_by is None else subprocess.PIPE
    with start(command, stdin=stdin, children=children) as child, fed(child):
        late = threading.Event()
        timer = threading.Timer(timeout, _too_late, (child, late)) if timeout is not None else None
        if timer is not None:
            timer.start()
        try:
            output = _exchange(child, input)
            code = child.wait()
        finally:
            if timer is not None:
                timer.cancel()
        if check and code not in command.accepted:
            what = f"did not end within {timeout or 0:.0f} s" if late.is_set() else describe_exit(code)
            raise OperationFailed(f"{command.tool} {what}: {child.stderr or 'no message'}")
        return Finished(code, output, child.stderr)


def _too_late(child: Child, late: threading.Event) -> None:
    late.set()
    child.kill()


def _exchange(child: Child, input: bytes | None) -> bytes:
    writer = None
    if input is not None:
        writer = threading.Thread(target=feed, args=(child.stdin, [input]), daemon=True)
        writer.start()
    output = child.stdout.read()
    if writer is not None:
        writer.join()
    return output


@contextlib.contextmanager
def fed(child: Child) -> Iterator[None]:
    """While inside, the child gets what its command is `fed_by`. What making that raises ends the child, and is raised."""
    if child.command.fed_by is None:
        yield
        return
    errors: list[BaseException] = []
    thread = threading.Thread(target=_feed, args=(child, child.command.fed_by, errors), name="feed")
    thread.start()
    try:
        yield
    except BaseException:
        child.kill()
        thread.join()
        if errors:
            raise errors[0] from None
        raise
    thread.join()
    if errors:
        raise errors[0]


def _feed(child: Child, blocks: Callable[[], Iterable[bytes]], errors: list[BaseException]) -> None:
    try:
        feed(child.stdin, blocks())
    except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
        errors.append(error)
        child.kill()
