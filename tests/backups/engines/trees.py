"""Trees with everything a file system can hold, and what is in one."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from backups.engines.files import Options, Plugin
from drcenter.options import validated

ROOT = os.geteuid() == 0


ODD_NAMES = [
    b"\xff\xfe not utf-8",
    b"line\nbreak",
    "smile 😀 ü".encode(),
    b"-rf",
    b"back\\slash\\n",
    b" ",
    b"*?[x]",
    b"a'\"b",
]


@pytest.fixture
def site(tmp_path):
    """A directory with every kind of thing that tar can bring back."""
    root = tmp_path / "site"
    root.mkdir()
    for number, name in enumerate(ODD_NAMES):
        place = os.fsencode(root) + b"/" + name
        with open(place, "wb") as file:
            file.write(b"odd %d" % number)
    os.makedirs(os.fsencode(root) + b"/dir\xff/empty")
    (root / "sub").mkdir(mode=0o750)
    (root / "sub" / "data").write_bytes(os.urandom(3 << 20))
    os.link(root / "sub" / "data", root / "also")
    os.symlink("/nowhere/at/all", root / "dangling")
    os.symlink("/etc/hostname", root / "absolute")
    os.symlink("sub", root / "link-to-directory")
    os.mkfifo(root / "pipe")
    with open(root / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"island")
    (root / "setuid").write_bytes(b"#!/bin/sh\n")
    os.chmod(root / "setuid", 0o4751)
    os.chmod(root / "sub", 0o2770)
    os.setxattr(root / "also", "user.comment", b"\0binary\xff")
    subprocess.run(["setfacl", "-m", "u:12345:rx", root / "setuid"], check=True)
    subprocess.run(["setfacl", "-m", "d:u:12345:rwx", root / "sub"], check=True)
    os.utime(root / "setuid", ns=(1, 1_234_567_890_123_456_789))
    os.utime(root / "dangling", ns=(1, 987_654_321_000_000_001), follow_symlinks=False)
    os.utime(root / "sub", ns=(1, 1_111_111_111_222_222_222))
    if ROOT:
        os.chown(root / "setuid", 1234, 2345)
        os.chmod(root / "setuid", 0o4751)
        os.utime(root / "setuid", ns=(1, 1_234_567_890_123_456_789))
    return root


def described(root: Path) -> dict[bytes, tuple]:
    """All that this test can see of a tree, found out in another way than the engine's."""
    found: dict[bytes, tuple] = {}
    first: dict[int, bytes] = {}
    top = os.fsencode(root)
    for directory, names, files in os.walk(top):
        for name in sorted(names + files):
            place = os.path.join(directory, name)
            state = os.lstat(place)
            kind = stat.S_IFMT(state.st_mode)
            what = b""
            if stat.S_ISREG(state.st_mode):
                with open(place, "rb") as file:
                    what = file.read()
            elif stat.S_ISLNK(state.st_mode):
                what = os.readlink(place)
            attributes = sorted(
                (key, os.getxattr(place, key, follow_symlinks=False))
                for key in os.listxattr(place, follow_symlinks=False)
            )
            path = os.path.relpath(place, top)
            group = first.setdefault(state.st_ino, path)
            found[path] = (
                kind, stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid, state.st_mtime_ns, what, attributes, group,
            )  # fmt: skip
    return found


def engine_for(root: Path, **options) -> Plugin:
    return Plugin(validated(Options, {"path": str(root), **options}))
