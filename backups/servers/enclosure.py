"""Runs what was restored of an application so that it can reach nothing: it holds production's keys.

The root of its file system is an empty one. In it are, read only, what programs need to run, and the directories and
sockets that it is given; it has no network but a loopback of its own, sees no process of others, and when its first
process ends, or the worker, the kernel kills all of them (namespaces(7)). It acts as the owner of what was restored,
and without any right of root. A machine that does not allow all of this runs nothing: an application is never started
half enclosed.

`enclosed` builds the words of the command. This file is also the program that they start, alone with the standard
library. Where an address is asked for, it starts the command as a server, asks it inside of the same network, and
prints the answer as JSON.
"""

import ctypes
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

NEW_MOUNTS, NEW_NAMES, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
BIND, RECURSIVE, READ_ONLY, REMOUNT, PRIVATE = 4096, 16384, 1, 32, 1 << 18
NO_SET_USER, NO_DEVICES, DETACH = 2, 4, 2
SET_PDEATHSIG, SET_SECUREBITS, SET_NO_NEW_PRIVS, SIGKILL = 1, 28, 38, 9
# A process of root gains nothing by starting a program, and that cannot be undone (capabilities(7)).
ROOT_IS_NOBODY = 0b11
# _IOWR numbers of netdevice(7): read and write the flags of an interface; IFF_UP and IFF_RUNNING.
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1 | 0x40
PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    "/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone",
    "/etc/mime.types", "/etc/alternatives", "/etc/php", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# Exit code when the machine does not allow to enclose: nothing was started.
NOT_ENCLOSED = 97
PORT = 8080
# Bytes of an answer that are looked at.
LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Given:
    """A directory, file or socket of this machine, and where it stands inside."""

    outside: str
    inside: str
    writable: bool = False


@dataclass(frozen=True)
class Ask:
    """What is asked of the server that the command is: seconds to come up in, and the path of the address."""

    path: str
    seconds: float


def enclosed(  # noqa: PLR0913 - all but one are named
    argv: Sequence[str], *, root: str, given: Sequence[Given], directory: str, owner: tuple[int, int], ask: Ask | None = None
) -> tuple[str, ...]:  # fmt: skip
    """The words that start `argv` enclosed, in `directory` (as it is called inside), as the user and group `owner`.

    `root` is an empty directory of the caller, which becomes the root. `{port}` in argv is where a server listens.
    Its environment is the one that it is started with, whole. Exit code NOT_ENCLOSED: nothing was started.
    """
    order = {
        "argv": [word.replace("{port}", str(PORT)) for word in argv], "root": root, "directory": directory,
        "given": [asdict(one) for one in given], "owner": list(owner), "parent": os.getpid(),
        "ask": asdict(ask) if ask else None,
    }  # fmt: skip
    return (sys.executable, "-I", "-S", __file__, json.dumps(order))


class _Refused(Exception):
    """The machine does not allow it."""


def main(order: dict[str, Any]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _own_namespaces(libc, order["parent"])
    except (_Refused, OSError) as error:
        print(f"not enclosed: {error}", file=sys.stderr)  # noqa: T201 - a program of its own
        sys.exit(NOT_ENCLOSED)
    # The first process in the namespace of processes: with it all others end.
    first = os.fork()
    if first:
        _die_with_parent(libc)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) % 256)
    _die_with_parent(libc)
    try:
        _own_root(libc, order["root"], order["given"])
        _loopback_up()
        os.chdir(order["directory"])
        _become(libc, *order["owner"])
    except (_Refused, OSError) as error:
        print(f"not enclosed: {error}", file=sys.stderr)  # noqa: T201
        os._exit(NOT_ENCLOSED)
    os._exit(_serve(libc, order["argv"], order["ask"]) if order["ask"] else _run(libc, order["argv"]))


def _call(what: str, result: int) -> None:
    if result != 0:
        raise _Refused(f"{what}: {os.strerror(ctypes.get_errno())}")


def _die_with_parent(libc: ctypes.CDLL) -> None:
    libc.prctl(SET_PDEATHSIG, SIGKILL, 0, 0, 0)


def _own_namespaces(libc: ctypes.CDLL, parent: int) -> None:
    user, group = os.geteuid(), os.getegid()
    kinds = NEW_MOUNTS | NEW_NETWORK | NEW_PROCESSES | NEW_IPC | NEW_NAMES | (NEW_USER if user else 0)
    _call("namespaces", libc.unshare(kinds))
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    _die_with_parent(libc)
    # Who started us may have died before the signal was set.
    if os.getppid() != parent:
        raise _Refused("its worker has ended")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _mount(  # noqa: PLR0913, PLR0917 - those of mount(2)
    libc: ctypes.CDLL, what: str, where: str, kind: str | None, flags: int, data: str = ""
) -> None:
    names = [one.encode() if one else None for one in (what, where, kind)]
    _call(f"mount {where}", libc.mount(*names, flags, data.encode() if data else None))


def _bind(libc: ctypes.CDLL, outside: str, inside: str, *, writable: bool = False) -> None:
    if os.path.isdir(outside):
        os.makedirs(inside, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        with open(inside, "a"):
            pass
    _mount(libc, outside, inside, None, BIND | RECURSIVE)
    if not writable:
        with suppress(
            _Refused
        ):  # Some machines lock the flags of what they mounted; nobody here may write there.
            _mount(libc, "", inside, None, BIND | REMOUNT | READ_ONLY | NO_SET_USER)


def _own_root(libc: ctypes.CDLL, root: str, given: Sequence[dict[str, Any]]) -> None:
    _mount(libc, "", "/", None, PRIVATE | RECURSIVE)
    # What is given may lie where the new root hides it: taken in hand before.
    hands = [(os.open(one["outside"], os.O_PATH | os.O_CLOEXEC), one) for one in given]
    _mount(libc, "none", root, "tmpfs", NO_SET_USER | NO_DEVICES, "mode=755,size=256m")
    for path in PROGRAMS:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            _bind(libc, path, root + path)
    for path in (*SETTINGS, *DEVICES):
        if os.path.exists(path):
            _bind(libc, os.path.realpath(path), root + path, writable=path in DEVICES)
    for number, one in hands:
        _bind(libc, f"/proc/self/fd/{number}", root + one["inside"], writable=one["writable"])
        os.close(number)
    os.makedirs(f"{root}/tmp", exist_ok=True)  # noqa: S108 - its own, which nobody else sees
    os.chmod(f"{root}/tmp", 0o1777)  # noqa: S103, S108
    os.makedirs(f"{root}/proc", exist_ok=True)
    with suppress(
        _Refused
    ):  # Where /proc is partly hidden, as in containers, it cannot be had; few programs need it.
        _mount(libc, "proc", f"{root}/proc", "proc", NO_SET_USER | NO_DEVICES)
    _change_root(libc, root)


def _change_root(libc: ctypes.CDLL, root: str) -> None:
    os.chdir(root)
    # pivot_root(".", ".") leaves the old root on top of the new one (pivot_root(2)); then it is taken away.
    libc.syscall.restype = ctypes.c_long
    numbers = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
    number = numbers.get(os.uname().machine)
    if number is None:
        raise _Refused(f"pivot_root is not known for {os.uname().machine}")
    _call("pivot_root", libc.syscall(number, b".", b"."))
    _call("umount", libc.umount2(b".", DETACH))
    os.chdir("/")


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh22x", b"lo", flags | UP))


def _become(libc: ctypes.CDLL, user: int, group: int) -> None:
    """Become that user, without any right of root from here on, whoever it is."""
    if os.geteuid() == 0:
        _call("securebits", libc.prctl(SET_SECUREBITS, ROOT_IS_NOBODY, 0, 0, 0))
        os.setgroups([group])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    _call("no_new_privs", libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    # Becoming another user clears it.
    _die_with_parent(libc)


def _started(libc: ctypes.CDLL, argv: Sequence[str], *, quiet: bool) -> int:
    process = os.fork()
    if process:
        return process
    _die_with_parent(libc)
    if quiet:
        os.dup2(2, 1)
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
    os._exit(127)


def _run(libc: ctypes.CDLL, argv: Sequence[str]) -> int:
    process = _started(libc, argv, quiet=False)
    while True:  # The first process is also the one that what it never started is left to.
        ended, status = os.wait()
        if ended == process:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _serve(libc: ctypes.CDLL, argv: Sequence[str], ask: dict[str, Any]) -> int:
    process = _started(libc, argv, quiet=True)
    deadline = time.monotonic() + ask["seconds"]
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), _connected(1):
            break
        if os.waitpid(process, os.WNOHANG)[0]:
            print("the server ended before it answered", file=sys.stderr)  # noqa: T201
            return 1
        time.sleep(0.05)
    else:
        print(f"the server did not listen within {ask['seconds']:.0f} s", file=sys.stderr)  # noqa: T201
        return 1
    try:
        print(json.dumps(_answer(ask["path"], max(1.0, deadline - time.monotonic()))))  # noqa: T201
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {error or type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        os.kill(process, signal.SIGKILL)
        sys.stdout.flush()
    return 0


def _connected(seconds: float) -> socket.socket:
    """By its number alone: what Python needs for names is not inside."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(("127.0.0.1", PORT))
    except OSError:
        connection.close()
        raise
    return connection


def _answer(path: str, seconds: float) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.sock = _connected(seconds)
    try:
        connection.request("GET", path, headers={"Host": "drill.invalid"})
        response = connection.getresponse()
        body = response.read(LARGEST_ANSWER)
        return {"status": response.status, "body": body.decode(errors="replace")}
    finally:
        connection.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
