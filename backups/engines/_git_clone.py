"""A clone made of a bundle, with what was in no commit as it was: staged, changed, or new."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from backups.engines._git_state import INDEX, NONE, WORK_TREE
from backups.engines._git_view import View, asked, git
from backups.engines.base import NoScratch
from backups.witness import Content
from drcenter.errors import OperationFailed
from drcenter.process import Command

BLOCK = 1 << 20
# More lines than any header has; what comes after it is the pack.
LONGEST_HEADER = 64 << 20
# Checked out until something of the bundle is.
EMPTY = "drcenter-empty"
BUILT_ON = "refs/prerequisites"
MISSING = re.compile(
    r"not our ref|couldn't find remote ref|missing necessary objects|did not send all", re.IGNORECASE
)


class Clone:
    """The repository in `path`, which is made by `fill`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return (self.path / ".git").is_dir()

    def command(self, *words: str) -> Command:
        return git(
            "-c", "protocol.file.allow=always", *words, directory=self.path / ".git", work_tree=self.path
        )

    def ask(self, *words: str, check: bool = True) -> str:
        return asked(self.command(*words), check=check)

    def fill(self, bundle: Path, original: View | None) -> None:
        """Everything in the bundle. What it builds on is fetched from `original`: one commit deep, no more.

        Raises NoScratch when the bundle builds on commits that are not on this machine.
        """
        header = Header.of(bundle)
        kind = ("--object-format=sha256",) if header.sha256 else ()
        asked(git("init", "--quiet", "--template=", f"--initial-branch={EMPTY}", *kind, str(self.path)))
        if header.prerequisites:
            self._fetch_prerequisites(header.prerequisites, original)
        self.ask("bundle", "verify", "--quiet", str(bundle))
        references = [f"+refs/{kind}/*:refs/{kind}/*" for kind in ("heads", "tags", "drcenter")]
        self.ask("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(bundle), *references)

    def _fetch_prerequisites(self, commits: list[str], original: View | None) -> None:
        if original is None:
            raise NoScratch(*_BUILDS_ON_OTHERS, permanent=True)
        wanted = [f"{commit}:{BUILT_ON}/{commit}" for commit in commits]
        try:
            self.ask(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--depth=1",
                str(original.directory),
                *wanted,
            )
        except OperationFailed as error:
            if MISSING.search(error.message):
                raise NoScratch(*_BUILDS_ON_OTHERS, permanent=True) from error
            raise

    def check_out(self, objects: Mapping[str, str]) -> None:
        """As it was: the branch, the files of the work tree, and what was staged."""
        commit, branch = objects.get("commit", ""), objects.get("branch", "")
        if not commit or not branch:
            return
        if branch != NONE:
            self.ask("check-ref-format", branch)
            self.ask("symbolic-ref", "HEAD", branch)
        if commit != NONE:
            self.ask("update-ref", *(("--no-deref",) if branch == NONE else ()), "HEAD", commit)
        if tree := self._known(WORK_TREE) or (commit if commit != NONE else ""):
            self.ask("read-tree", "--reset", "-u", tree)
        self.ask("read-tree", self._known(INDEX) or (commit if commit != NONE else "--empty"))

    def _known(self, name: str) -> str:
        return self.ask("rev-parse", "--verify", "--quiet", name, check=False).strip()

    def contents(self) -> dict[str, Content]:
        text = self.ask(
            "for-each-ref", "--format=%(refname)%09%(objectname)", "refs/heads", "refs/tags", "refs/drcenter"
        )
        named = [(name, value) for line in text.splitlines() for name, value in [line.split("\t")]]
        return {name: Content(self._count(value), value) for name, value in named}

    def _count(self, value: str) -> int:
        return int(self.ask("rev-list", "--count", value, "--not", f"--glob={BUILT_ON}/*", "--").strip())

    def objects(self) -> dict[str, str]:
        branch = self.ask("symbolic-ref", "--quiet", "HEAD", check=False).strip()
        if branch == f"refs/heads/{EMPTY}":
            return {}
        return {"branch": branch or NONE, "commit": self._known("HEAD^{commit}") or NONE}


_BUILDS_ON_OTHERS = (
    "The bundle holds what was not pushed; the commits that it builds on are not on this machine.",
    "Clone the repository from its remote, then there: git fetch unpushed.bundle 'refs/*:refs/backup/*'",
)


class Header:
    """The beginning of a bundle (gitformat-bundle(5)): what it builds on."""

    def __init__(self, prerequisites: list[str], *, sha256: bool) -> None:
        self.prerequisites, self.sha256 = prerequisites, sha256

    @classmethod
    def of(cls, bundle: Path) -> "Header":
        """Raises OperationFailed for what is no bundle."""
        with bundle.open("rb") as file:
            first = file.readline(100)
            if not re.fullmatch(rb"# v[23] git bundle\n", first):
                raise OperationFailed(f"{bundle.name} is no bundle of git.", permanent=True)
            lines = list(iter(lambda: file.readline(1 << 16).rstrip(b"\n"), b""))
        found = [match[1].decode() for line in lines if (match := re.match(rb"-([0-9a-f]{40,64})\b", line))]
        return cls(found, sha256=b"@object-format=sha256" in lines)


def written(stream: BinaryIO, path: Path) -> Path:
    """The plain bytes of the part, in a new file."""
    with path.open("xb") as file:
        while block := stream.read(BLOCK):
            file.write(block)
    return path
