"""What stands around an application: its owner, its git repository, supervisor programs, cron lines.

Commands run as the owner of the directory where this process is root: code of the application is never
run with rights that the application does not have.
"""

import os
import pwd
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from drcenter.errors import OperationFailed
from drcenter.process import Command, run

SUPERVISOR = Path("/etc/supervisor")
CRON = (Path("/etc/crontab"), Path("/etc/cron.d"), Path("/var/spool/cron/crontabs"))
SECONDS = 30
LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Git:
    """The state of a work tree. `unpushed` is None without an upstream."""

    branch: str
    changed: int
    unpushed: int | None


def owner(path: Path) -> str:
    """The name of the owner of `path`, or the number when it has no name."""
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def run_as_owner(path: Path, *argv: str) -> str:
    """The output of a command in `path`. Raises OperationFailed."""
    name = owner(path)
    user = name if os.geteuid() == 0 and name != "root" else None
    if user is not None and user.isdigit():
        raise OperationFailed(
            f"The owner of {path} has no name on this machine; nothing is run as root for it."
        )
    env = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    if user is not None:
        env["HOME"] = pwd.getpwnam(user).pw_dir
    return run(Command(argv, env=env, directory=str(path), user=user), timeout=SECONDS).stdout.decode(
        errors="replace"
    )


def git_state(path: Path) -> Git | None:
    """None where there is no repository. Raises OperationFailed when git cannot look."""
    if not (path / ".git").exists():
        return None
    return read_status(run_as_owner(path, "git", "status", "--porcelain=v2", "--branch"))


def read_status(text: str) -> Git:
    """What `git status --porcelain=v2 --branch` prints (git-status(1))."""
    branch, changed, unpushed = "", 0, None
    for line in text.splitlines():
        if line.startswith("# branch.head "):
            branch = line.removeprefix("# branch.head ")
        elif match := re.match(r"# branch\.ab \+(\d+) -", line):
            unpushed = int(match[1])
        elif not line.startswith("#"):
            changed += 1
    return Git(branch, changed, unpushed)


def supervisor_programs(path: Path, configuration: Path = SUPERVISOR) -> list[str]:
    """The programs of supervisor whose section names `path`."""
    return [
        name
        for text in _texts([configuration])
        for name, section in re.findall(r"^\[program:([^\]]+)\]([^\[]*)", text, re.MULTILINE)
        if _mentions(section, path)
    ]


def cron_lines(path: Path, places: Iterable[Path] = CRON) -> int:
    """How many lines of the crontabs that may be read here name `path`."""
    lines = [line for text in _texts(places) for line in text.splitlines()]
    return sum(1 for line in lines if not line.lstrip().startswith("#") and _mentions(line, path))


def _mentions(text: str, path: Path) -> bool:
    return re.search(re.escape(str(path)) + r"(?![\w.-])", text) is not None


def _texts(places: Iterable[Path]) -> list[str]:
    found = []
    for place in places:
        try:
            files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
            found += [
                file.read_text(errors="replace") for file in files if file.stat().st_size <= LARGEST_FILE
            ]
        except OSError:
            continue
    return found
