"""A machine without the product, and without Python: a directory with a shell and a few tools, entered by chroot.

Three kinds: `dash` or `bash` with GNU coreutils, sed and grep, and `busybox`, where every small tool is its own. All have
age, zstd, GNU tar, OpenSSL and the databases' clients. Without root a user namespace lends the rights for it.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CLIENTS = ("age", "age-keygen", "zstd", "tar", "openssl", "mariadb", "sqlite3")
COREUTILS = (
    "basename", "cat", "chmod", "chown", "cut", "date", "df", "dirname", "env", "grep", "head", "id", "ls", "mkdir", "mkfifo",
    "mktemp", "mv", "od", "pwd", "rm", "rmdir", "sed", "sha256sum", "sleep", "sort", "stat", "touch", "tr", "true", "uname", "wc", "xargs",
)  # fmt: skip
BUSYBOX_LEAVES_OUT = {"tar", "age", "zstd", "openssl", "python", "python3"}
# Modules that libraries open by themselves, which ldd does not show.
MODULES = ("libnss_files.so.2", "ossl-modules")


class BareMachine:
    """`run(...)` inside; `root / "set"` is where a test puts a set."""

    def __init__(self, root: Path, kind: str) -> None:
        """What was furnished in `root`, or is by `furnish()`."""
        self.root, self.kind = root, kind

    def copy(self, root: Path) -> "BareMachine":
        """Another one like it, whose files are the same ones: replace them, never write into them."""
        shutil.copytree(self.root, root, symlinks=True, copy_function=os.link)
        return BareMachine(root, self.kind)

    def furnish(self) -> "BareMachine":
        root = self.root
        for directory in ("bin", "dev", "tmp", "etc", "root", "set", "srv"):
            (root / directory).mkdir(parents=True)
        (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\n")
        for tool in CLIENTS:
            self.install(tool)
        self.install(_real_psql(), "psql")
        if self.kind == "busybox":
            self._install_busybox()
        else:
            for tool in COREUTILS:
                self.install(tool)
            self.install(self.kind, "sh")
        self._devices()
        return self

    def install(self, tool: str, name: str | None = None) -> None:
        path = shutil.which(tool)
        assert path, (
            f"{tool} is not installed here: apt-get install age zstd tar openssl sqlite3 busybox dash"
        )
        self._copy_libraries(path)
        shutil.copy(Path(path).resolve(), self.root / "bin" / (name or Path(tool).name))

    def install_library(self, path: Path) -> None:
        """A module that a program opens by itself, in its own place, and what it needs."""
        self._copy_libraries(str(path))
        place = self.root / str(path).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)

    def remove(self, tool: str) -> None:
        (self.root / "bin" / tool).unlink()

    def _copy_libraries(self, binary: str) -> None:
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            place = self.root / library.lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)

    def _install_busybox(self) -> None:
        self.install("busybox")
        names = subprocess.run(
            ["busybox", "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
        for name in set(names) - BUSYBOX_LEAVES_OUT:
            place = self.root / "bin" / name
            if not place.exists():
                place.symlink_to("busybox")

    def _devices(self) -> None:
        for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
            place = self.root / "dev" / name
            try:
                os.mknod(place, 0o20666, os.makedev(1, minor))
                place.chmod(0o666)
                place.open("wb").close()
            except PermissionError:
                place.unlink(missing_ok=True)
                place.touch()

    def run(self, *argv: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command inside to its end; its output and errors are kept together, in order."""
        with self.start(*argv, **options) as child:
            try:
                output, _nothing = child.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(child.args, child.returncode, output)

    def start(
        self,
        *argv: str,
        directory: str = "/set",
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        user: str = "",
    ) -> "subprocess.Popen[str]":
        """Start a command inside, as the leader of a session of its own. `user`, as root: UID:GID."""
        inside = f'cd {directory} && exec "$@"'
        command = [*self._entrance(user), "/bin/sh", "-c", inside, "sh", *argv]
        given = {"PATH": "/bin", "HOME": "/root", "TMPDIR": "/tmp", **(environment or {})}
        return subprocess.Popen(
            command, env=given, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip

    def _entrance(self, user: str = "") -> list[str]:
        chroot = shutil.which("chroot", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or "chroot"
        if (self.root / "dev" / "null").is_char_device():
            return [chroot, *([f"--userspec={user}"] if user else []), str(self.root)]
        # Devices cannot be made here: those of this machine are lent, in a mount namespace of the command alone.
        lend = 'for one in null zero urandom; do mount --bind "/dev/$one" "$0/dev/$one"; done; exec "$@"'
        return [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-ec",
            lend,
            str(self.root),
            chroot,
            str(self.root),
        ]

    def programs(self) -> Iterable[str]:
        return sorted(path.name for path in (self.root / "bin").iterdir())


def _real_psql() -> str:
    """Debian's psql is a script in Perl that calls the real one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else "psql"
