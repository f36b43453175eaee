"""One moment of a tree, as near as a file system without snapshots comes to it.

Files change while they are read. Whatever changed between the walk before the dump and the walk after
it is stored once more, in a part of its own, up to three times; what is still in doubt then is named.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from backups.engines._files_digest import digest
from backups.engines._files_index import STATE, UNKNOWN, Index
from backups.engines._files_tar import dump, list_of, stored_paths
from backups.engines._files_tree import ROOT, Entry, Tree, signature, young
from backups.engines.base import Finding, PartSpec, Snapshot
from backups.witness import Content, Witness

RETRIES = 3
# Names that tar is given at once.
BATCH = 500
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


def _alike_together(entries: list[Entry]) -> list[bytes]:
    """The paths of `entries`, directories first, then by extension: what is alike packs better beside each other, and
    what is packed already (photographs) is passed by in one go."""
    return [entry.path for entry in sorted(entries, key=_kind)]


def _kind(entry: Entry) -> tuple[bool, bytes]:
    name = entry.path.rpartition(b"/")[2]
    return not stat.S_ISDIR(entry.status.st_mode), name.rpartition(b".")[2]


class LinkGroups:
    """Which names of a tree are the same file, gathered while somebody walks it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: dict[tuple[int, int], list[bytes]] = {}

    def remembering(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The same entries; what was gathered before is forgotten."""
        self._names.clear()
        for entry in entries:
            status = entry.status
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode) and not self._tree.kept(entry.path):
                self._names.setdefault((status.st_dev, status.st_ino), []).append(entry.path)
            yield entry

    def linked(self, states: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """States of the files with several names, which tell all of these: a name may come or go with a directory
        that is renamed, which no time of the file shows."""
        found: dict[bytes, bytes] = {}
        for names in self._names.values():
            if len(names) > 1:
                group = b"\0".join(sorted(names))
                found |= {name: _together(states[name], group) for name in names if name in states}
        return found

    def first_names(self) -> dict[tuple[int, int], bytes]:
        """{device and inode: the first name} of each file that has several."""
        return {file: min(names) for file, names in self._names.items() if len(names) > 1}


def _together(state: bytes, group: bytes) -> bytes:
    return blake2b(state + group, digest_size=STATE).digest()


def link_groups(tree: Tree) -> dict[tuple[int, int], bytes]:
    """The first name of each file that has several in the tree."""
    groups = LinkGroups(tree)
    for _entry in groups.remembering(tree.walk()):
        continue
    return groups.first_names()


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
    """The parts of a tree, and the witness of what they hold. `workspace` is protected, and empty.

    The tree is walked twice: once while tar stores it, and once afterwards, when every file is digested that is
    as it was. So the witness is there when the last part is.
    """

    position: Mapping[str, Any] = {}

    def __init__(self, tree: Tree, identity: str, workspace: Path, *, as_root: bool) -> None:
        self._tree = tree
        # Which tree it is, with which options: sets of others have nothing to do with it.
        self._identity = identity
        self._workspace = workspace
        self._as_root = as_root
        self._began = time.time_ns()
        self._groups = LinkGroups(tree)
        # path -> the state in which it was stored last, as far as known
        self._expected: dict[bytes, bytes] = {}
        # What may have changed once more without showing it.
        self._young: set[bytes] = set()
        self._reasons: dict[bytes, str] = {}
        self._vanished: dict[bytes, bytes] = {}
        self._contents: dict[str, Content] = {}

    def parts(self) -> Iterator[PartSpec]:
        self._tree.root_status()
        yield self._part("tree", self._names)
        again = self._look("tree", self._tree.walk(), set(self._expected), self._groups.first_names())
        yield from self._retries(again)

    def _retries(self, again: dict[bytes, str]) -> Iterator[PartSpec]:
        """Parts with what changed while the one before was read; what keeps changing is noted."""
        for attempt in range(1, RETRIES + 1):
            if not again:
                break
            name, paths = f"tree-retry-{attempt}", self._with_parents(again)
            yield self._part(name, partial(iter, [list_of(paths)]))
            again = self._look(name, self._entries(paths), set(paths), link_groups(self._tree))
        self._reasons.update(again)

    def _part(self, name: str, names: Callable[[], Iterable[bytes]]) -> PartSpec:
        root, stored = os.fsdecode(self._tree.root), self._workspace / f"{name}.stored"
        return PartSpec(
            name, "tar", (dump(root, names, stored, as_root=self._as_root),), smallest=512, again=True
        )

    def _names(self) -> Iterator[bytes]:
        """The list for tar, which works while it grows; asked for again when the part is."""
        self._expected.clear()
        self._reasons.clear()
        batch: list[Entry] = []
        for entry in self._groups.remembering(self._tree.walk()):
            if not self._noted(entry):
                continue
            self._expected[entry.path] = signature(entry.status)
            batch.append(entry)
            if len(batch) == BATCH:
                yield list_of(_alike_together(batch))
                batch = []
        yield list_of(_alike_together(batch))

    def _noted(self, entry: Entry) -> bool:
        """Whether it can be read. Notes why not; and that it is young."""
        if entry.problem:
            self._reasons[entry.path] = f"{UNREADABLE}: {entry.problem}"
            return False
        if young(entry.status, self._began):
            self._young.add(entry.path)
        return True

    def _with_parents(self, paths: Iterable[bytes]) -> list[bytes]:
        """Also the directories of `paths`: restoring a file sets the time of its directory anew."""
        parents = {os.path.dirname(path) or ROOT for path in paths if path != ROOT}
        return sorted(parents.union(paths))

    def _entries(self, paths: Iterable[bytes]) -> Iterator[Entry]:
        for path in paths:
            try:
                yield Entry(path, os.lstat(self._tree.place(path)))
            except OSError:
                continue

    def _look(
        self, part: str, entries: Iterator[Entry], paths: set[bytes], groups: Mapping[tuple[int, int], bytes]
    ) -> dict[bytes, str]:
        """Digest what is still as `part` has stored it. Returns what has to be stored again, and why."""
        vanished, missing = set(paths), paths.difference(self._stored(part))
        again: dict[bytes, str] = {}
        same = self._unchanged(entries, missing, again, vanished)
        for entry, content, reason in contents_of(self._tree, same, groups, as_root=self._as_root):
            if content is None:
                self._reasons[entry.path] = reason
            elif self._state(entry.path) != self._expected[entry.path]:
                again[entry.path] = CHANGED
            else:
                self._contents[os.fsdecode(entry.path)] = content
        for path in vanished:
            if self._expected.pop(path, None) is not None:
                # It may be in the set all the same.
                self._vanished[path] = UNKNOWN
            self._reasons.setdefault(path, VANISHED)
        return again

    def _unchanged(
        self, entries: Iterator[Entry], missing: set[bytes], again: dict[bytes, str], vanished: set[bytes]
    ) -> Iterator[Entry]:
        """The entries whose stored state is theirs now; the others go to `again`. Who is seen has not `vanished`."""
        for entry in entries:
            path, state = entry.path, signature(entry.status)
            vanished.discard(path)
            if entry.problem:
                self._reasons[path] = f"{UNREADABLE}: {entry.problem}"
            elif self._expected.get(path) != state:
                again[path], self._expected[path] = CHANGED, state
                self._young.add(path)
            elif path in missing:
                again[path] = NOT_STORED
            else:
                yield entry

    def _stored(self, part: str) -> Iterator[bytes]:
        with (self._workspace / f"{part}.stored").open("rb") as index:
            yield from stored_paths(index)

    def _state(self, path: bytes) -> bytes | None:
        try:
            return signature(os.lstat(self._tree.place(path)))
        except OSError:
            return None

    def witness(self) -> Witness:
        ignored = {os.fsdecode(path): reason for path, reason in self._reasons.items()}
        contents = {name: content for name, content in self._contents.items() if name not in ignored}
        return Witness(objects_of(self._as_root), contents, ignored | ({} if self._as_root else OWNERS))

    def index(self) -> bytes:
        """What the next increment compares with; after the last part. Everything in doubt is stored again then."""
        states = self._states()
        doubtful = self._young.union(path for path, reason in self._reasons.items() if reason != KEPT)
        states |= dict.fromkeys(doubtful.intersection(states), UNKNOWN)
        return Index(self._identity, self._began, states).to_bytes()

    def _states(self) -> dict[bytes, bytes]:
        """The state of every path that a restore brings back."""
        return self._expected | self._vanished | self._groups.linked(self._expected)

    def findings(self) -> Sequence[Finding]:
        """One finding for each reason, with the number of paths and the first names."""
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
