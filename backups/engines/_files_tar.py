"""GNU tar's command lines (pure), and reading the list that it writes of what it stored."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from drcenter.process import Command

# 1 MiB for each write: blocks of 10 KiB cost more system calls than the work between them.
BLOCKING_FACTOR = 2048
# An archive is a multiple of it.
RECORD = BLOCKING_FACTOR * 512
# Names are bytes here; in any other locale tar would convert them.
ENVIRONMENT = {"LC_ALL": "C"}
ESCAPE = re.compile(rb"\\([abfnrtv\\]|[0-7]{3})")
ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
}


def dump(root: str, names: Callable[[], Iterable[bytes]], stored: Path, *, as_root: bool) -> Command:
    """Store the paths that `names` gives (each ended by NUL); write what was stored to `stored`.

    `--format=posix` keeps fractions of seconds; access and change times are left out, since they
    differ each time. What vanished is no failure (`--ignore-failed-read`): the list shows it.
    """
    return Command(
        argv=(
            "tar", "--create", "--file=-", "--format=posix",
            "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
            "--numeric-owner", "--acls", "--xattrs", *_attributes(as_root), "--sparse",
            f"--blocking-factor={BLOCKING_FACTOR}", "--ignore-failed-read",
            "--verbose", f"--index-file={stored}", "--quoting-style=escape",
            "--no-recursion", "--null", "--no-unquote", "--files-from=-",
        ),
        env=ENVIRONMENT,
        # Not --directory, with which tar reaches every file's attributes through /proc/self/fd, at a tenth of its CPU.
        directory=root,
        fed_by=names,
        accepted=(0, 1),
    )  # fmt: skip


def restore(root: str, keep: list[str], *, as_root: bool) -> Command:
    """Extract into `root`, except below the paths of `keep`.

    Never `--incremental`: it deletes what the archive's lists of directories do not have. GNU tar
    replaces a link that stands where a directory or a file belongs, and does not write through it.
    It reads whole records, as `dump` writes them: otherwise it leaves before the padding behind the end.
    """
    return Command(
        argv=(
            "tar", "--extract", "--file=-", f"--blocking-factor={BLOCKING_FACTOR}", "--read-full-records",
            f"--directory={root}", "--numeric-owner",
            "--same-owner" if as_root else "--no-same-owner", "--same-permissions",
            "--acls", "--xattrs", *_attributes(as_root), "--delay-directory-restore",
            "--warning=no-timestamp", "--quoting-style=escape", "--anchored", "--no-wildcards",
            *(f"--exclude=./{path}" for path in keep),
        ),
        env=ENVIRONMENT,
        stops_early=True,
    )  # fmt: skip


def _attributes(as_root: bool) -> tuple[str, ...]:
    names = ("user.*", "security.capability", "trusted.*") if as_root else ("user.*",)
    return tuple(f"--xattrs-include={name}" for name in names)


def list_of(paths: list[bytes]) -> bytes:
    """The list for `dump`. Each name begins with `./`, so that none is taken for an option."""
    return b"".join(b"./" + path + b"\0" if path != b"." else b"./\0" for path in paths)


def stored_paths(index: Iterable[bytes]) -> Iterator[bytes]:
    """The relative paths in the lines of the list that tar wrote."""
    return (_path(line.rstrip(b"\n")) for line in index)


def _path(line: bytes) -> bytes:
    if b"\\" in line:
        line = ESCAPE.sub(_unescaped, line)
    return line.removeprefix(b"./").removesuffix(b"/") or b"."


def _unescaped(match: "re.Match[bytes]") -> bytes:
    return ESCAPES.get(match[1]) or bytes([int(match[1], 8)])
