"""One moment of a tree, as near as a file system without snapshots comes to it.

Files change while they are read. Whatever changed between the walk before the dump and the walk after
it is stored once more, in a part of its own, up to three times; what is still in doubt then is named.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backups.engines._files_digest import digest
from backups.engines._files_tar import dump, list_of, stored_paths
from backups.engines._files_tree import ROOT, Entry, Tree, links_of, signature
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.witness import Content, Witness

RETRIES = 3
# Names in one sentence; the whole list is in the witness.
NAMED = 5
CHANGED = "changed while it was read"
VANISHED = "vanished while the tree was read"
NOT_STORED = "could not be stored"
UNREADABLE = "cannot be read"
KEPT = "left alone by a restore, therefore not compared"
# By a key that no path can be: a file may be called like any word.
OWNERS = {"/owners": "not compared: owners are restored by root only"}


def contents_of(
    tree: Tree, entries: Iterator[Entry], groups: Mapping[tuple[int, int], bytes], *, as_root: bool
) -> Iterator[tuple[Entry, Content | None, str]]:
    """(entry, its digest or None, why there is none) for each entry that is not kept."""
    for entry in entries:
        if tree.kept(entry.path):
            yield entry, None, KEPT
        elif entry.problem:
            yield entry, None, f"{UNREADABLE}: {entry.problem}"
        else:
            group = groups.get((entry.status.st_dev, entry.status.st_ino), b"")
            try:
                yield entry, digest(tree.place(entry.path), entry.status, group, as_root=as_root), ""
            except FileNotFoundError:
                yield entry, None, VANISHED
            except OSError as error:
                yield entry, None, f"{UNREADABLE}: {error.strerror}"


def link_groups(tree: Tree) -> dict[tuple[int, int], bytes]:
    """The first name of each file that has several in the tree."""
    names: dict[tuple[int, int], list[bytes]] = {}
    for file, path in links_of(tree.walk()):
        if not tree.kept(path):
            names.setdefault(file, []).append(path)
    return {file: min(paths) for file, paths in names.items() if len(paths) > 1}


def objects_of(as_root: bool) -> dict[str, str]:
    """What the digests cover, so that sets taken with and without root are not taken for each other."""
    owner = "owner, group, " if as_root else ""
    return {"attributes": f"type, mode, {owner}time, contents, links, ACL, extended attributes"}


def witness_of(tree: Tree, *, as_root: bool) -> Witness:
    """The witness of a tree that nobody changes meanwhile."""
    contents, ignored = {}, {} if as_root else OWNERS
    for entry, content, reason in contents_of(tree, tree.walk(), link_groups(tree), as_root=as_root):
        if content is not None:
            contents[os.fsdecode(entry.path)] = content
        elif reason != VANISHED:
            ignored[os.fsdecode(entry.path)] = reason
    return Witness(objects_of(as_root), contents, ignored)


class TreeSnapshot(Snapshot):
    """The parts of a tree, and the witness of what they hold. `workspace` is protected, and empty."""

    position: Mapping[str, Any] = {}

    def __init__(self, tree: Tree, workspace: Path, *, as_root: bool) -> None:
        self._tree = tree
        self._workspace = workspace
        self._as_root = as_root
        # path -> the state in which it was stored last, as far as known
        self._expected: dict[bytes, int] = {}
        self._reasons: dict[bytes, str] = {}
        self._witness: Witness | None = None

    def parts(self) -> Iterator[PartSpec]:
        self._expected = dict(self._readable())
        yield self._part("tree", list(self._expected))
        again = self._changed_since("tree", self._expected, dict(self._readable()))
        for attempt in range(1, RETRIES + 1):
            if not again:
                break
            name = f"tree-retry-{attempt}"
            yield self._part(name, self._with_parents(again))
            states = {path: state for path in again if (state := self._state(path)) is not None}
            again = self._changed_since(name, {path: self._expected[path] for path in again}, states)
        self._reasons.update(again)

    def _readable(self) -> Iterator[tuple[bytes, int]]:
        for entry in self._tree.walk():
            if entry.problem:
                self._reasons[entry.path] = f"{UNREADABLE}: {entry.problem}"
            else:
                yield entry.path, signature(entry.status)

    def _part(self, name: str, paths: list[bytes]) -> PartSpec:
        names, stored = self._workspace / f"{name}.names", self._workspace / f"{name}.stored"
        names.write_bytes(list_of(paths))
        command = dump(os.fsdecode(self._tree.root), names, stored, as_root=self._as_root)
        return PartSpec(name, "tar", (command,), smallest=512)

    def _with_parents(self, paths: Iterable[bytes]) -> list[bytes]:
        """Also the directories of `paths`: restoring a file sets the time of its directory anew."""
        parents = {os.path.dirname(path) or ROOT for path in paths if path != ROOT}
        return sorted(parents.union(paths))

    def _state(self, path: bytes) -> int | None:
        try:
            return signature(os.lstat(self._tree.place(path)))
        except OSError:
            return None

    def _changed_since(
        self, part: str, before: Mapping[bytes, int], now: Mapping[bytes, int]
    ) -> dict[bytes, str]:
        """What has to be stored again, after `part`, and why; what vanished is noted."""
        stored = stored_paths((self._workspace / f"{part}.stored").read_bytes())
        again = {path: CHANGED for path, state in now.items() if before.get(path) != state}
        again |= dict.fromkeys(now.keys() - stored - again.keys(), NOT_STORED)
        for path in before.keys() - now.keys():
            del self._expected[path]
            self._reasons.setdefault(path, VANISHED)
        self._expected.update(now)
        return again

    def witness(self) -> Witness:
        if self._witness is None:
            self._witness = self._computed()
        return self._witness

    def _computed(self) -> Witness:
        contents, seen = {}, set()
        tree, known = self._tree, (entry for entry in self._tree.walk() if entry.path in self._expected)
        for entry, content, reason in contents_of(tree, known, link_groups(tree), as_root=self._as_root):
            seen.add(entry.path)
            if reason:
                self._reasons.setdefault(entry.path, reason)
            elif {signature(entry.status), self._state(entry.path)} != {self._expected[entry.path]}:
                self._reasons.setdefault(entry.path, CHANGED)
            elif content is not None and entry.path not in self._reasons:
                contents[os.fsdecode(entry.path)] = content
        for path in self._expected.keys() - seen:
            self._reasons.setdefault(path, VANISHED)
        ignored = {os.fsdecode(path): reason for path, reason in self._reasons.items()}
        return Witness(objects_of(self._as_root), contents, ignored | ({} if self._as_root else OWNERS))

    def findings(self) -> Sequence[Finding]:
        """One finding for each reason, with the number of paths and the first names."""
        self.witness()
        paths: dict[str, list[str]] = {}
        for path, reason in sorted(self._reasons.items()):
            paths.setdefault(reason, []).append(os.fsdecode(path))
        return [finding_for(reason, names) for reason, names in paths.items() if reason != KEPT]


def finding_for(reason: str, names: list[str]) -> Finding:
    """A sentence about `names`, all of which share a reason; what cannot be read caps the set."""
    shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    noun = "1 path" if len(names) == 1 else f"{len(names)} paths"
    if reason in {CHANGED, VANISHED}:
        return Finding(
            f"{noun} {reason.replace('it was', 'being')}: {shown}{more}",
            "Nothing to do, unless the application needs these files: then stop it for the backup.",
        )
    return Finding(
        f"{noun} {reason}: {shown}{more}",
        "Let the user of the workers read them (setfacl -R -m u:USER:rX), or exclude them.",
        caps=True,
    )
