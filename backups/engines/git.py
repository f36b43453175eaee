"""Git: the state of a work tree, and a bundle of what would be lost with it: unpushed, stashed, uncommitted."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.engines._git_clone import Clone, written
from backups.engines._git_state import COMMITS, Limits, State
from backups.engines._git_view import View
from backups.engines._places import beside_path, remove_place
from backups.engines._temporary import protected_directory
from backups.engines._texts import contents_of, make_empty, read_texts, text_parts, write_text
from backups.engines.base import Consumer, Engine, Finding, Gone, Inspection, PartSpec, Snapshot, is_gone
from backups.witness import Witness
from drcenter.errors import OperationFailed

BUNDLE = ("unpushed", "bundle")
MIB = 1 << 20


class Options(forms.Form):
    path = forms.CharField(
        label=_("Work tree"),
        help_text=_("The absolute path of the directory that holds .git."),
        max_length=4096,
    )
    commits = forms.IntegerField(label=_("Commits to list"), initial=COMMITS, min_value=1, max_value=100000)
    everything = forms.BooleanField(
        label=_("The whole history"), required=False, initial=False,
        help_text=_("Also what a remote has: the bundle can then be cloned without any remote."),
    )  # fmt: skip
    largest_mib = forms.IntegerField(
        label=_("Largest uncommitted file in MiB"), initial=100, min_value=1,
        help_text=_("Larger ones, which are in no commit and not ignored, are left out and named."),
    )  # fmt: skip

    def clean_path(self) -> str:
        path = os.path.normpath(str(self.cleaned_data["path"]))
        if not os.path.isabs(path) or path.strip("/") == "" or "\0" in path:
            raise ValidationError(_("Write the absolute path of a directory below /."))
        return path


class Plugin(Engine):
    label = cast(str, _("Git state"))
    Options = Options
    required_tools = ("git",)
    beside_on_disk = True
    one_moment = True
    # The work tree that a place was taken from: what a bundle builds on may still be there.
    _original: Path | None = None
    _created = False

    @property
    def path(self) -> Path:
        return Path(self.options["path"])

    @property
    def target(self) -> str:
        return f"git state of {self.path}"

    @property
    def host(self) -> str:
        return socket.gethostname()

    @property
    def for_reading(self) -> str:
        return "A repository that is in use is never overwritten: restore its git state beside, and fetch from there."

    @property
    def _limits(self) -> Limits:
        options = self.options
        return Limits(int(options["commits"]), int(options["largest_mib"]) * MIB, bool(options["everything"]))

    @contextmanager
    def _state(self) -> Iterator[State]:
        if is_gone(self.path):
            raise Gone(f"{self.path} does not exist.", "Check the path.", permanent=True)
        with protected_directory() as workspace:
            state = State(View.opened(self.path, _made(workspace / "view")), self._limits)
            state.prepare()
            yield state

    def inspect(self) -> Inspection:
        with self._state() as state:
            counts = [content.count for content in state.contents().values()]
            facts = {"branch": state.branch.removeprefix("refs/heads/"), "unpushed": max(counts, default=0)}
            return Inspection(state.size() + 4096, facts, list(state.findings))

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with self._state() as state:
            yield _Moment(state)

    def witness(self) -> Witness:
        clone = Clone(self.path / "repository")
        contents = contents_of(read_texts(self.path))
        if not clone.exists:
            return Witness(contents=contents)
        return Witness(clone.objects(), {**contents, **clone.contents()})

    def consumer(self, part: str, suffix: str) -> Consumer:
        if (part, suffix) == BUNDLE:
            return self._unbundle
        return partial(write_text, self.path, f"{part}.{suffix}")

    def _unbundle(self, stream: BinaryIO) -> None:
        with ExitStack() as stack:
            workspace = stack.enter_context(protected_directory())
            bundle = written(stream, self.path / ".".join(BUNDLE))
            view = None
            if self._original is not None and os.path.lexists(self._original / ".git"):
                view = View.opened(self._original, _made(workspace / "view"))
            Clone(self.path / "repository").fill(bundle, view)

    def finish(self, witness: Witness | None) -> None:
        clone = Clone(self.path / "repository")
        if witness is not None and clone.exists:
            clone.check_out(witness.objects)

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        return self._scratch(workspace)

    @contextmanager
    def _scratch(self, workspace: Path) -> Iterator[Engine]:
        place = self._at(str(workspace / "git"))
        try:
            yield place
        finally:
            place.drop()

    def _at(self, path: str) -> "Plugin":
        place = self.replaced(path=path)
        place._original = self.path
        return place

    def beside(self, name: str) -> "Plugin":
        return self._at(beside_path(str(self.path), name))

    def prepare(self, *, overwrite: bool) -> None:
        """Never over what is there, whatever `overwrite` says."""
        self._created = make_empty(self.path)

    def drop(self) -> None:
        if self._created:
            remove_place(self.path)
            self._created = False


class _Moment(Snapshot):
    """The references as they were when the view was made; git keeps what they point to."""

    position: Mapping[str, Any] = {}

    def __init__(self, state: State) -> None:
        self._state, self._texts = state, state.texts()

    def parts(self) -> Iterator[PartSpec]:
        yield from text_parts(self._texts)
        if words := self._state.bundle:
            yield PartSpec(*BUNDLE, (self._state.view.command(*words),), smallest=32)

    def witness(self) -> Witness:
        contents = {**contents_of(self._texts), **self._state.contents()}
        return Witness(self._state.objects(), contents)

    def findings(self) -> Sequence[Finding]:
        return self._state.findings


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise OperationFailed(f"{directory} cannot be made: {error.strerror}.") from None
    return directory
