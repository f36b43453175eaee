"""Files: a directory with all that belongs to it, stored by GNU tar."""

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.engines._files_clear import clear, remove_listed
from backups.engines._files_increment import NAMES, IncrementSnapshot
from backups.engines._files_index import Index
from backups.engines._files_patterns import tidy
from backups.engines._files_snapshot import UNREADABLE, TreeSnapshot, finding_for, witness_of
from backups.engines._files_tar import RECORD, restore
from backups.engines._files_tree import Tree
from backups.engines._places import beside_path
from backups.engines._temporary import protected_directory
from backups.engines.base import (
    Consumer,
    Engine,
    Finding,
    Gone,
    Inspection,
    NeedsFull,
    NoScratch,
    Snapshot,
    is_gone,
)
from backups.recovery import restored
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.process import find

# What tar adds for each entry: a header, and an extended header for the fraction of its time.
HEADERS = 1536


def _relative(lines: list[str]) -> list[str]:
    if any(".." in line.split("/") or "\0" in line for line in lines):
        raise ValidationError(_("Write paths relative to the directory, without “..”."))
    return [cleaned for line in lines if (cleaned := tidy(line))]


class Options(forms.Form):
    path = forms.CharField(
        label=_("Directory"), help_text=_("The absolute path of the directory."), max_length=4096
    )
    exclude = LinesField(
        label=_("Leave out"),
        help_text=_(
            "Patterns relative to the directory, one per line: vendor, storage/logs/*.log, **/.cache"
        ),
        initial=[],
    )
    only = LinesField(
        label=_("Only these"),
        help_text=_("Names in the directory, one per line: .env, config. Empty: everything."),
        initial=[],
    )
    keep = LinesField(
        label=_("Never touch on restore"),
        help_text=_("Paths relative to the directory, one per line: storage/framework/down"),
        initial=[],
    )
    one_file_system = forms.BooleanField(
        label=_("Stay on one file system"),
        help_text=_("Do not look into directories where something else is mounted."),
        required=False,
        initial=False,
    )

    def clean_path(self) -> str:
        path = os.path.normpath(str(self.cleaned_data["path"]))
        if not os.path.isabs(path) or path.strip("/") == "" or "\0" in path:
            raise ValidationError(_("Write the absolute path of a directory below /."))
        return path

    def clean_exclude(self) -> list[str]:
        return _relative(self.cleaned_data["exclude"])

    def clean_only(self) -> list[str]:
        names = _relative(self.cleaned_data["only"])
        if any("/" in name for name in names):
            raise ValidationError(_("Write names that stand in the directory itself, without “/”."))
        return names

    def clean_keep(self) -> list[str]:
        return _relative(self.cleaned_data["keep"])


class Plugin(Engine):
    label = cast(str, _("Files"))
    Options = Options
    required_tools = ("tar",)
    removes_strangers = True
    incremental = True
    beside_on_disk = True
    # What `prepare` made, deepest first; and whether it found the directory itself there, and empty.
    _made: Sequence[str] = ()
    _was_empty = False

    @property
    def path(self) -> str:
        return str(self.options["path"])

    @property
    def target(self) -> str:
        return f"files in {self.path}"

    @property
    def place(self) -> str:
        return self.path

    @property
    def host(self) -> str:
        return socket.gethostname()

    @property
    def _tree(self) -> Tree:
        options = self.options
        without = [*options["exclude"], *restored.left_out(self.path)]
        return Tree.of(self.path, without, options["keep"], bool(options["one_file_system"]), options["only"])

    def inspect(self) -> Inspection:
        _require_gnu_tar()
        restored.refuse_as_source(self.path)
        if is_gone(self.path):
            raise Gone(
                f"{self.path} cannot be read: {os.strerror(errno.ENOENT)}.",
                "Check the path, and that the user of the workers may read it.",
                permanent=True,
            )
        size, entries, unreadable = 0, 0, []
        counted: set[tuple[int, int]] = set()
        for entry in self._tree.walk():
            entries += 1
            if entry.problem:
                unreadable.append(os.fsdecode(entry.path))
            size += HEADERS + _bytes_of(entry.status, counted)
        root = os.geteuid() == 0
        facts = {"size": size, "entries": entries, "root": root}
        # As tar writes it: whole records, zeroes behind the end.
        whole = -(-(size + 1024) // RECORD) * RECORD
        return Inspection(whole, facts, [*_unreadable(unreadable), *([] if root else [NOT_ROOT])])

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        _require_gnu_tar()
        with protected_directory() as workspace:
            yield TreeSnapshot(self._tree, self._identity, workspace, as_root=os.geteuid() == 0)

    @contextmanager
    def since(self, index: bytes, share: float) -> Iterator[Snapshot]:
        _require_gnu_tar()
        known = _index(index)
        with protected_directory() as workspace:
            snapshot = IncrementSnapshot(
                self._tree, self._identity, workspace, known, as_root=os.geteuid() == 0
            )
            snapshot.refuse_above(share)
            yield snapshot

    @property
    def _identity(self) -> str:
        """Which tree is looked at, how, and as whom; two with the same are compared path by path."""
        names = ("path", "exclude", "only", "keep", "one_file_system")
        return json.dumps([os.geteuid() == 0, *(self.options[name] for name in names)])

    def witness(self) -> Witness:
        return witness_of(self._tree, as_root=os.geteuid() == 0)

    def consumer(self, part: str, suffix: str) -> Consumer:
        if suffix == NAMES:
            return partial(remove_listed, self._tree)
        if suffix != "tar":
            raise OperationFailed(f"A set of files has no part {part}.{suffix}.", permanent=True)
        return restore(self.path, [tidy(path) for path in self.options["keep"]], as_root=os.geteuid() == 0)

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        return self._scratch(workspace, facts)

    @contextmanager
    def _scratch(self, workspace: Path, facts: Mapping[str, Any]) -> Iterator[Engine]:
        if facts.get("root", False) and os.geteuid() != 0:
            raise NoScratch("The set was taken as root: owners can only be proven by a worker that is root.")
        room, volume = shutil.disk_usage(workspace), os.statvfs(workspace)
        size, entries = int(facts.get("size", 0)), int(facts.get("entries", 0))
        if size + entries * volume.f_frsize // 2 > room.free:
            raise NoScratch(f"The proof needs {size} bytes in {workspace}, where {room.free} are free.")
        if volume.f_files and entries > volume.f_favail:
            raise NoScratch(f"The proof needs {entries} inodes in {workspace}, {volume.f_favail} are free.")
        place = self.replaced(path=str(workspace / "scratch"))
        try:
            yield place
        finally:
            place.drop()

    def beside(self, name: str) -> "Plugin":
        return self.replaced(path=beside_path(self.path, name))

    def prepare(self, *, overwrite: bool) -> None:
        """With `overwrite`, what is there stays: the archive replaces it, and `finish` removes the rest."""
        _require_gnu_tar()
        self._was_empty = False
        try:
            self._made = _missing(self.path)
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            occupied = bool(os.listdir(self.path))
        except OSError as error:
            raise OperationFailed(
                f"{self.path} cannot be made ready: {error.strerror}.",
                "Check that it is a directory, and the rights of the workers' user.",
            ) from None
        if occupied and not overwrite:
            raise OperationFailed(
                f"{self.path} is not empty.", "Choose another name, or empty it first.", permanent=True
            )
        self._was_empty = not occupied

    def make_room(self, witness: Witness | None) -> None:
        """tar replaces a directory by a file or a link only when nothing is in it."""
        self.finish(witness)

    def finish(self, witness: Witness | None) -> None:
        """Remove what the set does not have."""
        if witness is not None:
            clear(self._tree, witness)

    def drop(self) -> None:
        """A directory that was there before stays, as empty as it was."""
        if not self._was_empty or not os.path.isdir(self.path):
            return
        for name in os.listdir(os.fsencode(self.path)):
            _remove(os.path.join(os.fsencode(self.path), name))
        for directory in self._made:
            with suppress(OSError):  # Somebody else put something beside it meanwhile.
                os.rmdir(directory)
        self._made, self._was_empty = (), False

    def counts(self, names: Sequence[str]) -> dict[str, int]:
        """Entries below each path, which is relative to the directory; `.` is all of them."""
        return {name: self._count(name) for name in names}

    def _count(self, name: str) -> int:
        path = tidy(name)
        if ".." in path.split("/"):
            raise OperationFailed(f"{name} is not below {self.path}.", permanent=True)
        place = os.path.join(self.path, path)
        if not os.path.isdir(place):
            raise OperationFailed(f"{place} does not exist.")
        return sum(1 for _entry in Tree.of(place, [], [], False).walk()) - 1


NOT_ROOT = Finding(
    "The worker does not run as root: owners and groups are stored, but neither compared nor restored.",
    "Run the worker for this source as root if its files belong to several users.",
)


def _index(data: bytes) -> Index:
    try:
        return Index.from_bytes(data)
    except OperationFailed as error:
        raise NeedsFull(error.message) from error


def _missing(path: str) -> list[str]:
    """The directories on the way to `path` that do not exist yet, deepest first."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _remove(place: bytes) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place)
    else:
        os.unlink(place)


def _require_gnu_tar() -> None:
    name = os.path.basename(os.path.realpath(find("tar")))
    if name in {"busybox", "bsdtar", "toybox"}:
        raise OperationFailed(
            f"The tar of this machine is {name}, which keeps neither ACL nor attributes.",
            "Install GNU tar: apt-get install tar",
            permanent=True,
        )


def _bytes_of(status: os.stat_result, counted: set[tuple[int, int]]) -> int:
    """What tar stores of a file: no holes, and a file with several names once."""
    if not stat.S_ISREG(status.st_mode):
        return 0
    if status.st_nlink > 1:
        if (status.st_dev, status.st_ino) in counted:
            return 0
        counted.add((status.st_dev, status.st_ino))
    return min(status.st_size, max(status.st_blocks * 512, 512))


def _unreadable(names: list[str]) -> list[Finding]:
    return [finding_for(UNREADABLE, names)] if names else []
