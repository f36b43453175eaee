"""Information: what this machine is made of, in texts that a person needs who builds it again."""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from backups.engines._information_lists import FILES, LISTS, Listing, crontabs
from backups.engines._places import beside_path, remove_place
from backups.engines._texts import Texts, contents_of, make_empty, read_texts, write_text
from backups.engines.base import Consumer, Engine, Finding, Inspection, Snapshot
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.process import find, run

SECONDS = 60


class Options(forms.Form):
    directory = forms.CharField(
        label=_("Directory for restored lists"),
        help_text=_("An absolute path. The lists are written here to be read; nothing is installed from them."),
        initial="/var/lib/drcenter-information", max_length=4096,
    )  # fmt: skip
    leave_out = LinesField(
        label=_("Leave out"),
        initial=[],
        help_text=_("Lists that are not wanted, one per line: npm-global, units"),
    )

    def clean_directory(self) -> str:
        path = os.path.normpath(str(self.cleaned_data["directory"]))
        if not os.path.isabs(path) or path.strip("/") == "" or "\0" in path:
            raise ValidationError(_("Write the absolute path of a directory below /."))
        return path

    def clean_leave_out(self) -> list[str]:
        names: list[str] = self.cleaned_data["leave_out"]
        if unknown := sorted(set(names) - {*LISTS, *FILES, "crontabs"}):
            known = ", ".join([*LISTS, *FILES, "crontabs"])
            raise ValidationError(
                _("There is no list %(names)s. There are: %(known)s"),
                params={"names": ", ".join(unknown), "known": known},
            )
        return names


class Plugin(Engine):
    label = cast(str, _("Information about the machine"))
    Options = Options
    beside_on_disk = True
    one_moment = True
    _created = False

    @property
    def path(self) -> Path:
        return Path(self.options["directory"])

    @property
    def target(self) -> str:
        return f"information about {socket.gethostname()}, as texts in {self.path}"

    @property
    def host(self) -> str:
        return socket.gethostname()

    @property
    def on_disk(self) -> str:
        return str(self.path)

    @property
    def for_reading(self) -> str:
        return "It tells what the machine was made of: it is read, or restored beside, and changes nothing."

    def inspect(self) -> Inspection:
        captured = _Captured(self.options["leave_out"])
        facts = {"lists": len(captured.texts), "missing": ", ".join(captured.missing)}
        return Inspection(sum(map(len, captured.texts.values())), facts, captured.findings)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        captured = _Captured(self.options["leave_out"])
        yield Texts(captured.texts, captured.findings)

    def witness(self) -> Witness:
        return Witness(contents=contents_of(read_texts(self.path)))

    def consumer(self, part: str, suffix: str) -> Consumer:
        return partial(write_text, self.path, f"{part}.{suffix}")

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        return self._scratch(workspace)

    @contextmanager
    def _scratch(self, workspace: Path) -> Iterator[Engine]:
        place = self.replaced(directory=str(workspace / "information"))
        try:
            yield place
        finally:
            place.drop()

    def beside(self, name: str) -> "Plugin":
        return self.replaced(directory=beside_path(str(self.path), name))

    def prepare(self, *, overwrite: bool) -> None:
        """Never over what is there, whatever `overwrite` says: these are texts to read."""
        self._created = make_empty(self.path)

    def drop(self) -> None:
        if self._created:
            remove_place(self.path)
            self._created = False


class _Captured:
    """All lists of this moment; what is missing on this machine, and what went wrong."""

    def __init__(self, leave_out: Sequence[str]) -> None:
        self.texts: dict[str, bytes] = {}
        self.missing: list[str] = []
        self.findings: list[Finding] = []
        told: dict[str, str] = {}
        for name, listing in LISTS.items():
            if name not in leave_out:
                told[name] = self._take(name, listing)
        for name, paths in FILES.items():
            if name not in leave_out:
                told[name] = self._read(name, paths)
        if "crontabs" not in leave_out:
            text, unreadable = crontabs()
            self._keep("crontabs.txt", text)
            told["crontabs"] = f"cannot be read: {', '.join(unreadable)}" if unreadable else "taken"
        self._keep(
            "overview.json", (json.dumps({"host": socket.getfqdn(), "lists": told}, indent=2) + "\n").encode()
        )

    def _keep(self, name: str, text: bytes) -> None:
        self.texts[name] = text or b"(nothing)\n"

    def _take(self, name: str, listing: Listing) -> str:
        tool = listing.command.argv[0]
        try:
            find(tool)
        except OperationFailed:
            self.missing.append(tool)
            return f"not on this machine: {tool}"
        try:
            output = run(listing.command, timeout=SECONDS).stdout
        except OperationFailed as error:
            if listing.may_fail:
                return error.message
            self.findings.append(Finding(f"The list {name} could not be made: {error.message}", error.hint))
            return error.message
        self._keep(f"{name}.{listing.suffix}", output)
        return "taken"

    def _read(self, name: str, paths: Sequence[str]) -> str:
        texts = []
        for path in paths:
            try:
                texts.append(f"# {path}\n".encode() + Path(path).read_bytes())
            except OSError as error:
                texts.append(f"# {path}: {error.strerror}\n".encode())
        self._keep(f"{name}.txt", b"\n".join(texts))
        return "taken"
