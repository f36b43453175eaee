"""What a repository holds that is nowhere else: the state as texts, and commits that were not pushed."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backups.engines._git_view import View, asked
from backups.engines.base import Finding
from backups.witness import Content

# Where the parts of a work tree that are in no commit are kept, as commits of ours, in bundle and clone.
WORK_TREE = "refs/drcenter/worktree"
INDEX = "refs/drcenter/index"
STASHES = "refs/drcenter/stash"
HEAD = "refs/drcenter/head"
# No branch is checked out, or the branch has no commit yet.
NONE = "none"
COMMITS = 50
EMPTY_TREES = (
    "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
)


@dataclass(frozen=True)
class Limits:
    """How many commits are listed; bytes of the largest file that is not in a commit; everything, or what no
    remote has."""

    commits: int
    largest: int
    everything: bool


class State:
    """The state of a view at this moment. `prepare` makes commits of what is in none; the repository stays as it is."""

    def __init__(self, view: View, limits: Limits) -> None:
        self.view, self.limits = view, limits
        self.findings: list[Finding] = []

    # ------------------------------------------------------------------ in texts

    def texts(self) -> dict[str, bytes]:
        ask = self.view.ask
        said = {
            "status.txt": ask("status", "--porcelain=v2", "--branch", "--ignore-submodules=all", "--untracked-files=all"),
            "commits.txt": self._log() if self.has_head else "",
            "remotes.txt": "".join(f"{name}\t{address}\n" for name, address in self.view.remotes),
            "branches.txt": ask("for-each-ref", "--format=%(refname)%09%(objectname)%09%(upstream)%09%(upstream:track)",
                                "refs/heads", "refs/remotes", "refs/tags"),
            "stashes.txt": "".join(f"{name}\t{commit}\t{title}\n" for name, commit, title in self._stashes),
        }  # fmt: skip
        return {name: os.fsencode(text) or b"(nothing)\n" for name, text in said.items()}

    def _log(self) -> str:
        form = "--format=%H%x09%an <%ae>%x09%aI%x09%s"
        return self.view.ask("log", f"--max-count={self.limits.commits}", form, "HEAD", "--")

    @cached_property
    def has_head(self) -> bool:
        return bool(self.view.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False).strip())

    @cached_property
    def branch(self) -> str:
        """The full name of the branch that is checked out; empty: none is."""
        return self.view.ask("symbolic-ref", "--quiet", "HEAD", check=False).strip()

    @cached_property
    def _stashes(self) -> list[tuple[str, str, str]]:
        """(name, commit, title), newest first. Only the newest is a reference: the others are in its reflog."""
        if not self.view.ask("rev-parse", "--verify", "--quiet", "refs/stash", check=False).strip():
            return []
        text = self.view.ask("reflog", "show", "--format=%gd%x09%H%x09%gs", "refs/stash", "--")
        return [
            (name, commit, title)
            for line in text.splitlines()
            for name, commit, title in [line.split("\t", 2)]
        ]

    # ------------------------------------------------------------------ as commits

    def prepare(self) -> None:
        """Give names, in the view alone, to everything that would be lost."""
        for number, (_name, commit, _title) in enumerate(self._stashes):
            self._name(f"{STASHES}/{number}", commit)
        if self.has_head:
            self._name(HEAD, self.view.ask("rev-parse", "HEAD^{commit}").strip())
        self._name_index()
        self._name_work_tree()

    def _name(self, name: str, commit: str) -> None:
        self.view.ask("update-ref", "--no-deref", name, commit)

    def _name_index(self) -> None:
        if (self.view.directory / "index").exists():
            self._commit(INDEX, "index", self._tree("index"))

    def _tree(self, index: str) -> str:
        """The tree of an index. One in the middle of a merge has none: then that of the work tree has to do."""
        path = str(self.view.directory / index)
        return self.view.ask("write-tree", "--missing-ok", GIT_INDEX_FILE=path, check=False).strip()

    def _name_work_tree(self) -> None:
        """All that is in the work tree and not ignored, staged in an index of our own."""
        index = str(self.view.directory / "worktree.index")
        if (self.view.directory / "index").exists():
            Path(index).write_bytes((self.view.directory / "index").read_bytes())
        changed = list(
            self._wanted(self._paths("ls-files", "--modified", "--deleted", "--others", "--exclude-standard"))
        )
        words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        self.view.ask(
            *words, input=os.fsencode("".join(f"{path}\0" for path in changed)), GIT_INDEX_FILE=index
        )
        self._commit(WORK_TREE, "work tree", self._tree("worktree.index"))

    def _paths(self, *words: str) -> list[str]:
        return list(dict.fromkeys(path for path in self.view.ask(*words, "-z").split("\0") if path))

    def _wanted(self, paths: Sequence[str]) -> Iterator[str]:
        large, unreadable, strange = [], [], []
        for path in paths:
            place = self.view.work_tree / path
            try:
                status = place.lstat()
            except (FileNotFoundError, NotADirectoryError):
                yield path
                continue
            if path.endswith("/") or stat.S_ISDIR(status.st_mode):
                strange.append(path)
            elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            elif status.st_size > self.limits.largest:
                large.append(path)
            elif stat.S_ISREG(status.st_mode) and not os.access(place, os.R_OK):
                unreadable.append(path)
            else:
                yield path
        self._tell(large, "larger than the limit and in no commit",
                   "Raise the limit of the source, ignore them in git, or back them up with the engine Files.")  # fmt: skip
        self._tell(
            unreadable, "in no commit and cannot be read", "Let the user of the workers read them (setfacl)."
        )
        self._tell(
            strange,
            "a repository of its own",
            "Add a source for it, if it has commits that were not pushed.",
            caps=False,
        )

    def _tell(self, paths: Sequence[str], what: str, hint: str, *, caps: bool = True) -> None:
        if paths:
            shown = ", ".join(os.fsencode(path).decode("utf-8", "backslashreplace") for path in paths[:5])
            noun = "1 path is" if len(paths) == 1 else f"{len(paths)} paths are"
            self.findings.append(Finding(f"{noun} {what}: {shown}", hint, caps=caps))

    def _commit(self, name: str, title: str, tree: str) -> None:
        """A commit of `tree`, unless HEAD has the same; always the same for the same tree."""
        if not tree or (not self.has_head and tree in EMPTY_TREES):
            return
        if self.has_head and tree == self.view.ask("rev-parse", "HEAD^{tree}").strip():
            return
        parents = ("-p", "HEAD^{commit}") if self.has_head else ()
        command = self.view.command(
            "commit-tree", tree, *parents, "-m", f"DR Center: {title}",
            GIT_AUTHOR_DATE="@0 +0000", GIT_COMMITTER_DATE="@0 +0000",
        )  # fmt: skip
        commit = asked(command).strip()
        self._name(name, commit)

    # ------------------------------------------------------------------ in the bundle

    @property
    def _pushed(self) -> tuple[str, ...]:
        return () if self.limits.everything else ("--not", "--remotes")

    @cached_property
    def references(self) -> list[tuple[str, str]]:
        """(name, object) of what the bundle is to hold: what has at least one commit that no remote has."""
        text = self.view.ask(
            "for-each-ref", "--format=%(refname)%09%(objectname)", "refs/heads", "refs/tags", "refs/drcenter"
        )
        named = [(name, value) for line in text.splitlines() for name, value in [line.split("\t")]]
        return [(name, value) for name, value in named if self._count(value)]

    def _count(self, value: str) -> int:
        """Commits of it that no remote has; 0 for what is no commit (the tag of a file)."""
        counted = self.view.ask("rev-list", "--count", value, *self._pushed, "--", check=False).strip()
        return int(counted or 0)

    @property
    def bundle(self) -> tuple[str, ...]:
        """The words of git that write the bundle; empty: nothing would be lost."""
        names = [name for name, _value in self.references]
        return ("bundle", "create", "--quiet", "-", *names, *self._pushed) if names else ()

    def size(self) -> int:
        """About how many bytes the objects take that the bundle holds."""
        if not self.references:
            return 0
        values = [value for _name, value in self.references]
        text = self.view.ask("rev-list", "--objects", "--disk-usage", *values, *self._pushed, "--")
        return int(text.strip() or 0)

    def objects(self) -> dict[str, str]:
        """What was checked out, where a clone of the bundle can have it checked out, too."""
        names = {name for name, _value in self.references}
        if not names & {HEAD, INDEX, WORK_TREE}:
            return {}
        commit = self.view.ask("rev-parse", "HEAD^{commit}").strip() if self.has_head else NONE
        return {"branch": self.branch or NONE, "commit": commit}

    def contents(self) -> dict[str, Content]:
        """Each reference in the bundle: how many commits of it no remote has, and what it points to."""
        return {name: Content(self._count(value), value) for name, value in self.references}
