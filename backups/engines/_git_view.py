"""A repository, seen through a git directory of our own.

Nothing that a repository brings with it is run: its configuration, hooks, filters, fsmonitor, pagers, aliases and
credential helpers are never read by git. The view has a configuration of ours, the objects of the repository as
alternates, and its references, index and reflog of stashes as copies; so git also writes nothing into it.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drcenter.errors import OperationFailed
from drcenter.process import Command, run

# The longest that git may take to look; a pipe or a dead mount in the tree would hold it for ever.
SECONDS = 300
LARGEST_FILE = 512 << 20
# What changes how files are compared and named, and runs nothing.
INERT = re.compile(
    r"(core\.(autocrlf|eol|safecrlf|filemode|symlinks|ignorecase|precomposeunicode|sparsecheckout|sparsecheckoutcone)"
    r"|index\.sparse|extensions\.objectformat|core\.repositoryformatversion)",
    re.IGNORECASE,
)
TRACKING = re.compile(r"(branch\..+\.(remote|merge)|remote\..+\.(url|fetch))", re.IGNORECASE | re.DOTALL)
REFUSED = re.compile(r"extensions\.(refstorage|partialclone)", re.IGNORECASE)
# user:password@ or a token alone, in the address of a remote; and secrets in the query.
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
QUERY = re.compile(r"\?.*", re.DOTALL)
SAFE = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false",
    "-c", "core.pager=cat", "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "protocol.allow=never",
    "-c", "credential.helper=", "-c", "submodule.recurse=false", "-c", "core.quotePath=false",
    "-c", "commit.gpgSign=false", "-c", "pack.threads=1", "-c", "core.attributesFile=/dev/null",
    "-c", "core.excludesFile=/dev/null", "-c", "log.showSignature=false",
)  # fmt: skip
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false", "GIT_SSH_COMMAND": "/bin/false", "LC_ALL": "C.UTF-8",
    "GIT_AUTHOR_NAME": "DR Center", "GIT_AUTHOR_EMAIL": "drcenter@localhost",
    "GIT_COMMITTER_NAME": "DR Center", "GIT_COMMITTER_EMAIL": "drcenter@localhost",
}  # fmt: skip
# Not HOME: what a user has configured for herself is no part of it.
INHERITED = ("PATH", "TZ", "TMPDIR")


def without_credentials(address: str) -> str:
    """The address of a remote as it may be shown and kept."""
    return QUERY.sub("", CREDENTIALS.sub("[redacted]@", address))


def git(
    *words: str, directory: Path | None = None, work_tree: Path | None = None, **environment: str
) -> Command:
    """A git that reads no configuration but that of `directory`, a git directory of ours."""
    env = {**ENVIRONMENT, **environment}
    if directory is not None:
        env["GIT_DIR"] = str(directory)
    if work_tree is not None:
        env["GIT_WORK_TREE"] = str(work_tree)
    return Command(
        ("git", *SAFE, *words), env=env, inherit=INHERITED, directory=str(work_tree) if work_tree else "/"
    )


def asked(command: Command, *, input: bytes | None = None, check: bool = True) -> str:
    """The output, in which bytes that are no UTF-8 are escaped as Python does. Raises OperationFailed."""
    return os.fsdecode(run(command, input=input, timeout=SECONDS, check=check).stdout)


@dataclass(frozen=True)
class Located:
    """Where a repository keeps its things: its own git directory, and the one it shares with other work trees."""

    own: Path
    common: Path


def locate(work_tree: Path) -> Located:
    """Raises OperationFailed where there is no repository, or one of a kind that is not known here."""
    found = work_tree / ".git"
    if found.is_symlink() or not os.path.lexists(found):
        raise OperationFailed(
            f"{work_tree} is no git work tree.", "Name the directory that holds .git.", permanent=True
        )
    if found.is_dir():
        return Located(found, found)
    line = _small_text(found)
    if not line.startswith("gitdir: "):
        raise OperationFailed(f"{found} does not say where the repository is.", permanent=True)
    own = (work_tree / line.removeprefix("gitdir: ").strip()).resolve()
    common = (own / _small_text(own / "commondir").strip()).resolve() if (own / "commondir").exists() else own
    return Located(own, common)


class View:
    """The repository of `work_tree`, seen from `directory`, an empty and protected one. See `View.opened`."""

    def __init__(self, work_tree: Path, directory: Path) -> None:
        self.work_tree, self.directory = work_tree, directory
        self.remotes: list[tuple[str, str]] = []

    @classmethod
    def opened(cls, work_tree: Path, directory: Path) -> "View":
        """Raises OperationFailed when the repository cannot be read."""
        view, located = cls(work_tree, directory), locate(work_tree)
        try:
            view._build(located)
        except OSError as error:
            raise OperationFailed(
                f"The repository of {work_tree} cannot be read: {error.strerror}.",
                "Let the user of the workers read .git (setfacl -R -m u:USER:rX).",
            ) from None
        view.ask("rev-parse", "--git-dir")
        return view

    def _build(self, located: Located) -> None:
        objects = located.common / "objects"
        if not stat.S_ISDIR(objects.lstat().st_mode) or "\n" in str(objects):
            raise OperationFailed(f"{objects} is no directory.", permanent=True)
        settings = _settings(located.common / "config")
        for name in ("objects/info", "refs", "info", "logs/refs"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "objects/info/alternates").write_text(f"{objects}\n")
        (self.directory / "config").write_text(self._configuration(settings))
        for name in ("HEAD", "index"):
            _copy(located.own / name, self.directory / name)
        for name in ("packed-refs", "shallow", "info/exclude", "info/attributes", "logs/refs/stash"):
            _copy(located.common / name, self.directory / name)
        for shared in sorted(located.own.glob("sharedindex.*")):
            _copy(shared, self.directory / shared.name)
        _copy(located.own / "info/sparse-checkout", self.directory / "info/sparse-checkout")
        for path in _files_below(located.common / "refs"):
            _copy(path, self.directory / path.relative_to(located.common))

    def _configuration(self, settings: Sequence[tuple[str, str]]) -> str:
        # A scratch clone asks the view for the very commits that a bundle builds on.
        lines = ["[core]", "\tbare = false", "[uploadpack]", "\tallowAnySHA1InWant = true"]
        for name, value in settings:
            if REFUSED.fullmatch(name):
                raise OperationFailed(
                    f"The repository uses {name}, which is not supported here.",
                    "Back it up with the engine Files, without leaving .git out.", permanent=True,
                )  # fmt: skip
            if INERT.fullmatch(name) or TRACKING.fullmatch(name):
                lines += _setting(name, without_credentials(value) if name.endswith(".url") else value)
            if name.startswith("remote.") and name.endswith((".url", ".pushurl")):
                self.remotes.append((name.split(".", 1)[1].rpartition(".")[0], without_credentials(value)))
        return "\n".join(lines) + "\n"

    def command(self, *words: str, **environment: str) -> Command:
        return git(*words, directory=self.directory, work_tree=self.work_tree, **environment)

    def ask(self, *words: str, input: bytes | None = None, check: bool = True, **environment: str) -> str:
        return asked(self.command(*words, **environment), input=input, check=check)


def _settings(path: Path) -> list[tuple[str, str]]:
    """What a configuration file sets, without following its includes."""
    _require_file(path)
    text = asked(git("config", "--file", str(path), "--no-includes", "--null", "--list"))
    return [
        (name, value) for line in text.split("\0") if line for name, _sep, value in [line.partition("\n")]
    ]


def _setting(name: str, value: str) -> list[str]:
    section, _dot, rest = name.partition(".")
    middle, _dot, key = rest.rpartition(".")
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if "\n" in middle:
        return []
    title = (
        f'[{section} "{middle.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"]'
        if middle
        else f"[{section}]"
    )
    return [title, f"\t{key} = {quoted}"]


def _small_text(path: Path) -> str:
    _require_file(path, 1 << 16)
    return os.fsdecode(path.read_bytes())


def _require_file(path: Path, largest: int = LARGEST_FILE) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
        raise OperationFailed(f"{path} is no file that git would have written.", permanent=True)


def _copy(source: Path, target: Path) -> None:
    """What is not there is not copied; links, pipes and giants are refused."""
    try:
        _require_file(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target, follow_symlinks=False)
    except FileNotFoundError:
        return


def _files_below(directory: Path) -> Iterator[Path]:
    for where, _names, files in os.walk(directory):
        for name in files:
            if not name.endswith(".lock"):
                yield Path(where) / name
