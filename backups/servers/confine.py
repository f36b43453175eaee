"""Starts a server that can reach nothing but its own directory: what it is given to load may be hostile.

A superuser of PostgreSQL may run programs and read files, and a dump is loaded as one. So the server of a proof
gets, as far as this machine lets us:

* a network of its own without any interface, and an empty /run, so that sockets of other servers are out of reach
  (namespaces(7); for ordinary users in a user namespace),
* Landlock (landlock(7), Linux 5.13): it writes only where it is told, reads only what programs need to run, runs
  no program but its own, and neither traces nor signals other processes.

`confined` builds the command. This file is also the program that it starts, alone with the standard library: it
writes what it achieved to a file, as JSON, and becomes the server.
"""

import ctypes
import glob
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NEW_MOUNTS, NEW_USER, NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
PRIVATE_RECURSIVELY = (1 << 18) | (1 << 14)
SET_PDEATHSIG, SET_NO_NEW_PRIVS, SIGKILL = 1, 38, 9
# The same numbers on every architecture (asm-generic/unistd.h).
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
# How many rights on files each version of Landlock knows; the last is that of the newest known.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
DEVICE_IOCTL = 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | (1 << 14) | DEVICE_IOCTL
READABLE = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/localtime", "/etc/timezone", "/etc/ssl/openssl.cnf", "/etc/postgresql-common", "/var/cache/postgresql",
    "/sys/devices/system", "/proc/cpuinfo", "/proc/meminfo",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# The kernel opens it for every program, as one.
LOADERS = ("/lib*/ld-*.so*", "/lib/*/ld-*.so*", "/lib*/ld64.so*")
HIDDEN = "/run"


@dataclass(frozen=True)
class Confinement:
    """What holds. `network`: "none", "no TCP" or "open"; `files`: only its own; `sockets`: /run is hidden."""

    network: str = "open"
    files: bool = False
    sockets: bool = False

    @property
    def reservations(self) -> list[str]:
        """What does not hold, for an operator; empty when all does."""
        found = []
        if self.network != "none":
            found.append("The scratch server was not cut off from the network: this machine allows no network namespace"
                         + (" (TCP was forbidden)." if self.network == "no TCP" else "."))  # fmt: skip
        if not self.files:
            found.append(
                "The scratch server could reach files and programs of its user: this kernel has no Landlock."
            )
        if not self.sockets:
            found.append("The scratch server could reach sockets of other servers in /run.")
        return found


UNCONFINED = Confinement()


def confined(
    argv: Sequence[str], *, own: Iterable[Path], program: Path, report: Path, user: str | None
) -> tuple[str, ...]:
    """The command that starts `argv` confined, as `user`.

    It may write below the directories `own`, run `program`, and leaves a Confinement in `report`.
    """
    order = {
        "own": [str(path) for path in own], "program": str(program), "report": str(report), "user": user,
        "argv": list(argv), "parent": os.getpid(),
    }  # fmt: skip
    return (sys.executable, "-I", "-S", __file__, json.dumps(order))


def confinement(report: Path) -> Confinement:
    """What the server says that was started so."""
    return Confinement(**json.loads(report.read_text()))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def main(order: dict[str, object]) -> None:
    own, argv = [str(path) for path in order["own"]], [str(one) for one in order["argv"]]  # type: ignore[attr-defined]
    libc = ctypes.CDLL(None, use_errno=True)
    spaces = _own_namespaces(libc)
    hidden = spaces and _hide(libc, own)
    report = os.open(str(order["report"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    if order["user"]:
        _become(str(order["user"]))
    libc.prctl(SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = _landlock(libc, own, str(order["program"]))
    network = "none" if spaces else "no TCP" if version >= 4 else "open"
    os.write(report, json.dumps(asdict(Confinement(network, version > 0, hidden))).encode())
    os.close(report)
    # Who started us may have died before the signal was set.
    if os.getppid() == order["parent"]:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is what is wanted


def _own_namespaces(libc: ctypes.CDLL) -> bool:
    user, group = os.geteuid(), os.getegid()
    kinds = NEW_MOUNTS | NEW_NETWORK | (NEW_USER if user else 0)
    if libc.unshare(kinds) != 0:
        return False
    if user:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    return True


def _hide(libc: ctypes.CDLL, own: Iterable[str]) -> bool:
    if any(os.path.realpath(path).startswith(f"{HIDDEN}/") for path in own):
        return False
    if libc.mount(None, b"/", None, PRIVATE_RECURSIVELY, None) != 0:
        return False
    return bool(libc.mount(b"none", HIDDEN.encode(), b"tmpfs", 0, b"mode=755,size=64k") == 0)


def _become(name: str) -> None:
    import pwd

    account = pwd.getpwnam(name)
    os.initgroups(name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)


def _landlock(libc: ctypes.CDLL, own: Iterable[str], program: str) -> int:
    """Forbid what is not allowed here; the version of Landlock, 0 where there is none."""
    version = max(0, int(libc.syscall(CREATE_RULESET, None, 0, 1)))
    if not version:
        return 0
    everything = (1 << FILE_RIGHTS[min(version, max(FILE_RIGHTS))]) - 1
    wanted = _Ruleset(everything, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    ruleset = int(
        libc.syscall(CREATE_RULESET, ctypes.byref(wanted), 8 if version < 4 else 16 if version < 6 else 24, 0)
    )
    if ruleset < 0:
        return 0
    allow = _Allow(libc, ruleset, everything)
    for path in READABLE:
        allow(path, READ_FILE | READ_DIR)
    for path in DEVICES:
        allow(path, READ_FILE | WRITE_FILE | DEVICE_IOCTL)
    for path in {os.path.realpath(loader) for pattern in LOADERS for loader in glob.glob(pattern)}:
        allow(path, EXECUTE | READ_FILE)
    allow(program, EXECUTE | READ_FILE)
    for path in own:
        allow(path, everything & ~EXECUTE)
    return version if libc.syscall(RESTRICT_SELF, ruleset, 0) == 0 else 0


class _Allow:
    def __init__(self, libc: ctypes.CDLL, ruleset: int, known: int) -> None:
        self._libc, self._ruleset, self._known = libc, ruleset, known

    def __call__(self, path: str, rights: int) -> None:
        """Allow `rights` on `path` and below it. What is not there needs none."""
        try:
            number = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        known = self._known if os.path.isdir(path) else self._known & OF_FILES
        rule = _Beneath(rights & known, number)
        self._libc.syscall(ADD_RULE, self._ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        os.close(number)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
