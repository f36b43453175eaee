"""Command: whatever a program writes to its standard output, as one part."""

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from backups.engines.base import Consumer, Engine, Finding, Inspection, NoScratch, PartSpec, Snapshot
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField
from drcenter.process import Command, find
from drcenter.secrets import is_reference, resolve

NOT_PROVEN = "What a command writes cannot be compared with its source: the set is intact at most."
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
PLACEHOLDER = re.compile(r"\{file:([^}]*)\}")


def _pairs(lines: list[str]) -> dict[str, str]:
    """{name: value} of lines `NAME=value`. Raises ValidationError for a line without a name."""
    pairs = dict(line.partition("=")[::2] for line in lines)
    if not all(NAME.match(name) for name in pairs) or not all("=" in line for line in lines):
        raise ValidationError(_("Write NAME=value on each line."))
    return pairs


class Options(forms.Form):
    argv = LinesField(
        label=_("Command"),
        required=True,
        help_text=_("One argument per line; no shell reads them. {file:NAME} is the path of a secret."),
    )
    restore_argv = LinesField(
        label=_("Command to restore"),
        help_text=_("Gets the same bytes on its standard input. Without it the part can only be downloaded."),
        initial=[],
    )
    secrets = LinesField(
        label=_("Secrets"),
        help_text=_(
            "NAME=env:X or NAME=file:/path, one per line. Each becomes a file that only the command sees."
        ),
        initial=[],
    )
    environment = LinesField(
        label=_("Environment"),
        help_text=_(
            "NAME=value, one per line: no secrets, but {file:NAME} works here too (PGPASSFILE={file:pw})."
        ),
        initial=[],
    )
    directory = forms.CharField(label=_("Working directory"), required=False, initial="")
    part = forms.CharField(
        label=_("Name of the part"), initial="output", max_length=50,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")],
    )  # fmt: skip
    suffix = forms.CharField(
        label=_("Kind of its bytes"), initial="bin", max_length=12,
        help_text=_("The ending of its name: json, sql, tar"), validators=[RegexValidator(r"^[a-z0-9]+$")],
    )  # fmt: skip
    timeout = forms.IntegerField(
        label=_("Time limit in seconds"), initial=0, min_value=0, help_text=_("0: none.")
    )
    smallest = forms.IntegerField(
        label=_("Least number of bytes"), initial=1, min_value=1, help_text=_("Less than this is a failure.")
    )

    def clean_secrets(self) -> list[str]:
        lines: list[str] = self.cleaned_data["secrets"]
        if not all(is_reference(value) for value in _pairs(lines).values()):
            raise ValidationError(_("Write env:NAME or file:/path; the value itself is not stored here."))
        return lines

    def clean_environment(self) -> list[str]:
        lines: list[str] = self.cleaned_data["environment"]
        _pairs(lines)
        return lines

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        known = set(_pairs(given.get("secrets", [])))
        texts = [*given.get("argv", []), *given.get("restore_argv", []), *given.get("environment", [])]
        unknown = {name for text in texts for name in PLACEHOLDER.findall(text)} - known
        if unknown:
            raise ValidationError(
                _("No secret is called %(names)s."), params={"names": ", ".join(sorted(unknown))}
            )
        return given


class Plugin(Engine):
    label = cast(str, _("Command"))
    Options = Options
    provable = False
    # coreutils' timeout(1), and setpriv(1), which ends the command when timeout is killed.
    required_tools = ("timeout", "setpriv")

    @property
    def target(self) -> str:
        return f"output of {' '.join(self.options['argv'])}"

    @property
    def host(self) -> str:
        return socket.gethostname()

    def inspect(self) -> Inspection:
        find(self.options["argv"][0])
        for reference in _pairs(self.options["secrets"]).values():
            resolve(reference)
        return Inspection(0, {}, [Finding(NOT_PROVEN)])

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        yield _Output(self)

    def witness(self) -> Witness:
        return Witness()

    def consumer(self, part: str, suffix: str) -> Consumer:
        return self.command("restore_argv")

    def scratch(self, workspace: Path, facts: Mapping[str, Any]) -> AbstractContextManager[Engine]:
        raise NoScratch(NOT_PROVEN)

    def beside(self, name: str) -> "Plugin":
        raise OperationFailed(
            "The output of a command cannot be restored beside the original.",
            "Download the part, or change the command to restore.",
            permanent=True,
        )

    def prepare(self, *, overwrite: bool) -> None:
        """Only with `overwrite`: what the command would overwrite is known to the command alone."""
        self.command("restore_argv")
        if not overwrite:
            raise OperationFailed(
                "Whether the command to restore overwrites something cannot be known.",
                "Restore with overwriting allowed.",
                permanent=True,
            )

    def command(self, option: str) -> Command:
        """The command of the option `argv` or `restore_argv`. Raises OperationFailed when there is none."""
        argv: list[str] = self.options[option]
        if not argv:
            raise OperationFailed(
                "No command to restore is set.",
                "Add one to the source, or download the part.",
                permanent=True,
            )
        secrets = {f"file:{name}": resolve(value) for name, value in _pairs(self.options["secrets"]).items()}
        return Command(
            argv=(*_limited(int(self.options["timeout"] or 0)), *argv),
            env=_pairs(self.options["environment"]),
            files=secrets,
            directory=self.options["directory"] or None,
        )


class _Output(Snapshot):
    """A command is no moment: it is run when its part is read."""

    position: Mapping[str, Any] = {}

    def __init__(self, engine: Plugin) -> None:
        self._engine = engine

    def parts(self) -> Iterator[PartSpec]:
        options = self._engine.options
        command = self._engine.command("argv")
        yield PartSpec(options["part"], options["suffix"], (command,), smallest=int(options["smallest"]))

    def witness(self) -> Witness:
        return Witness()

    def findings(self) -> Sequence[Finding]:
        return (Finding(NOT_PROVEN),)


def _limited(seconds: int) -> tuple[str, ...]:
    """What goes before a command that may run for so long; timeout's exit code is 124 then."""
    if not seconds:
        return ()
    limit = ("timeout", "--signal=TERM", "--kill-after=10", str(seconds))
    # setpriv, because a killed `timeout` would leave the command behind.
    return (*limit, "setpriv", "--pdeathsig", "KILL", "--")
