"""A real OpenSSH server on a free port of this machine, with keys of its own, that serves nothing but SFTP."""

import os
import pwd
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drcenter.process import Child, Command, run, start
from tests.backups.destinations.s3_server import free_port

CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
{host_keys}
AuthorizedKeysFile {folder}/user_ed25519.pub {folder}/user_rsa.pub {folder}/user_ecdsa.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication yes
PidFile none
LogLevel ERROR
MaxStartups 100
AllowTcpForwarding no
Subsystem sftp internal-sftp
ForceCommand internal-sftp {arguments}
"""


@dataclass
class Server:
    """Starts, ends and starts again, as servers do. Its files are below `folder`."""

    folder: Path
    port: int
    arguments: str = ""
    host_keys: tuple[str, ...] = ("ed25519",)
    children: list[Child] = field(default_factory=list)

    def start(self) -> None:
        keys = "\n".join(f"HostKey {self.folder}/host_{kind}" for kind in self.host_keys)
        text = CONFIGURATION.format(
            port=self.port, folder=self.folder, host_keys=keys, arguments=self.arguments
        )
        (self.folder / "sshd_config").write_text(text)
        self.children.append(start(Command(("sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")))))
        deadline = time.monotonic() + 20
        while not _answers(self.port):
            assert self.children[-1].code is None and time.monotonic() < deadline, self.children[-1].stderr
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, with all its connections: what a server that loses power looks like."""
        while self.children:
            child = self.children.pop()
            connections = _below(child.pid)
            child.kill()
            for pid in connections:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            child.__exit__(None, None, None)

    def public(self, kind: str = "ed25519") -> str:
        return (self.folder / f"host_{kind}.pub").read_text().strip()

    def fingerprint(self, kind: str = "ed25519") -> str:
        listed = run(Command(("ssh-keygen", "-lf", str(self.folder / f"host_{kind}.pub"))))
        return listed.stdout.decode().split()[1]

    def options(self, **more: Any) -> dict[str, Any]:
        """Options of a destination in a directory of its own on this server."""
        return {
            "host": "127.0.0.1", "port": self.port, "user": pwd.getpwuid(os.geteuid()).pw_name,
            "path": f"{tempfile.mkdtemp(dir=self.folder)}/sets", "host_key": [self.public()],
            "private_key": f"file:{self.folder}/user_ed25519", **more,
        }  # fmt: skip


def _below(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs: each connection has its own session."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_below(child)]
    return found


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            return probe.recv(4) == b"SSH-"
    except OSError:
        return False


def _key(path: Path, kind: str, passphrase: str = "") -> None:
    run(Command(("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path))))


@contextmanager
def running(**more: Any) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="sftp-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for kind in ("ed25519", "ecdsa", "rsa"):
        _key(folder / f"host_{kind}", kind)
        _key(folder / f"user_{kind}", kind, "the passphrase" if kind == "rsa" else "")
    server = Server(folder, free_port(), **more)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
