"""What changed in a tree since an earlier set of it.

A path has changed when its state is another one than that in the index of the earlier set: size, times, inode,
mode, owner, and the names of the same file. The time of the last change (ctime) is set by the kernel: whoever puts
an old time on a changed file, or copies a tree with its times, changes it. Contents are read of what has changed
only, so that an increment costs a walk, and what changed.

Measured on 60,000 files of which 600 have changed, on two cores: a walk with states and comparison takes 0.37 s,
`tar --listed-incremental` 0.50 s, which compares each time with that of its last run only: what changes while the
clock is behind that is missed. Its archives have to be restored with `--incremental`, which removes what is kept on
purpose.
"""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from backups.engines._files_index import Index
from backups.engines._files_mounts import without_change_times
from backups.engines._files_snapshot import TreeSnapshot
from backups.engines._files_tar import list_of
from backups.engines._files_tree import ROOT, Tree, signature
from backups.engines.base import NeedsFull, PartSpec

# The name and the kind of the part that lists what is gone: names, each ended by NUL, deepest first.
REMOVED, NAMES = "removed", "names"


class IncrementSnapshot(TreeSnapshot):
    """What changed in the tree since the set that `index` is of. Raises NeedsFull when there is no telling."""

    def __init__(self, tree: Tree, identity: str, workspace: Path, index: Index, *, as_root: bool) -> None:
        super().__init__(tree, identity, workspace, as_root=as_root)
        if index.tree != identity:
            raise NeedsFull(
                "The directory or the options of the source are others than those of the last set."
            )
        if index.at > self._began:
            raise NeedsFull("The clock was set back since the last set.")
        self._now: dict[bytes, bytes] = {}
        self._changed: list[bytes] = []
        self._sizes = self._compare(index)
        gone = index.states.keys() - self._now.keys()
        self.removed = [os.fsdecode(path) for path in sorted(gone, reverse=True)]

    def refuse_above(self, share: float) -> None:
        """Raises NeedsFull when more than that share of the tree's bytes has changed."""
        total, changed = self._sizes
        if changed > share * total:
            raise NeedsFull(f"{changed:,} of {total:,} bytes have changed since the last set.")

    def _compare(self, index: Index) -> tuple[int, int]:
        """Walk the tree once; (bytes in all, bytes of what has changed)."""
        sizes: dict[bytes, int] = {}
        devices: set[int] = set()
        for entry in self._groups.remembering(self._tree.walk()):
            status = entry.status
            devices.add(status.st_dev)
            if self._noted(entry):
                self._now[entry.path] = signature(status)
                sizes[entry.path] = status.st_size if stat.S_ISREG(status.st_mode) else 0
        if unsure := without_change_times(devices):
            raise NeedsFull(f"The file system {unsure} does not tell reliably what has changed.")
        self._now |= self._groups.linked(self._now)
        self._changed = [path for path, state in self._now.items() if index.states.get(path) != state]
        return sum(sizes.values()), sum(sizes[path] for path in self._changed)

    def parts(self) -> Iterator[PartSpec]:
        if self.removed:
            listed = b"".join(b"./" + os.fsencode(name) + b"\0" for name in self.removed)
            yield PartSpec(REMOVED, NAMES, (lambda: iter([listed]),), again=True)
        # Never nothing: a set of the chain without a part of its own would not be needed by the next one.
        paths = self._with_parents(self._changed or [ROOT])
        for entry in self._entries(paths):
            self._expected[entry.path] = signature(entry.status)
        yield self._part("tree", partial(iter, [list_of(paths)]))
        again = self._look("tree", self._entries(paths), set(paths), self._groups.first_names())
        yield from self._retries(again)

    def _states(self) -> dict[bytes, bytes]:
        # What was stored may be younger than the walk.
        return self._now | super()._states()
