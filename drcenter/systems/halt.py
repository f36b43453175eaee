"""Stops an application in the ways that its system names, and gives back what ran before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed
from drcenter.process import Children, Command, find
from drcenter.secrets import Secret
from drcenter.systems.commands import command_for, printed
from drcenter.systems.control.base import Control, Ground
from drcenter.systems.models import Halt, System

# [{"control": primary key, "kind": …, "before": …}], in the order in which they were looked at: as JSON.
Before = list[dict[str, Any]]


class ApplicationsGround:
    """Runs the commands of a control in the directory of the system's commands, as their user."""

    def __init__(self, system: System, children: Children | None = None) -> None:
        self._system, self._children = system, children

    @property
    def directory(self) -> str:
        return self._system.commands_directory

    def path(self, words: tuple[str, ...]) -> None:
        find(command_for(self._system, words).argv[0])

    def run(
        self, *words: str, files: Mapping[str, Secret] | None = None, accepted: tuple[int, ...] = (0,)
    ) -> str:
        command: Command = command_for(self._system, words, files=files or {}, accepted=accepted)
        return printed(command, self._children)


def describe(system: System) -> list[str]:
    """What will be stopped, in order, as an operator recognises it."""
    return [way.build().describe() for way in system.halts.filter(enabled=True)]


def check(system: System, children: Children | None = None) -> None:
    """Raises OperationFailed when a way to stop could not be gone. Changes nothing."""
    ground = ApplicationsGround(system, children)
    for way in system.halts.filter(enabled=True):
        with _naming(way):
            way.build().check(ground)


def look(way: Control, ground: Ground) -> dict[str, Any]:
    """What runs now. Raises OperationFailed when the way could not be gone. Changes nothing."""
    way.check(ground)
    return way.look(ground)


def stop(system: System, remember: Callable[[Before], None], children: Children | None = None) -> None:
    """Stop it all, in order. What ran before is handed to `remember` before anything is stopped: it has to be
    kept where a crash does not take it, for `start`. Raises OperationFailed at the first that does not stop."""
    ground, ways = ApplicationsGround(system, children), list(system.halts.filter(enabled=True))
    before: Before = []
    for way in ways:
        with _naming(way):
            before.append({"control": way.pk, "kind": way.kind, "before": way.build().look(ground)})
    remember(before)
    for way, found in zip(ways, before, strict=True):
        with _naming(way):
            way.build().stop(ground, found["before"])


def start(system: System, before: Sequence[Mapping[str, Any]], children: Children | None = None) -> None:
    """Give back what `stop` found, in the other order. All are tried; raises OperationFailed that names each that
    failed, and each that is not known any more."""
    ground, failures = ApplicationsGround(system, children), []
    for found in reversed(before):
        way = Halt.objects.filter(system=system, pk=found["control"], kind=found["kind"]).first()
        if way is None:
            failures.append(_("a way to stop was removed meanwhile (%(kind)s): start by hand what it had stopped")
                            % {"kind": found["kind"]})  # fmt: skip
            continue
        try:
            with _naming(way):
                way.build().start(ground, found["before"])
        except OperationFailed as error:
            failures.append(f"{error.message} {error.hint}".strip())
    if failures:
        raise OperationFailed(" ".join(failures), permanent=True)


@contextmanager
def _naming(way: Halt) -> Iterator[None]:
    """Errors inside say which way it was."""
    try:
        yield
    except OperationFailed as error:
        text = f"{way.get_kind_display()}: {error.message}"
        raise OperationFailed(text, error.hint, permanent=error.permanent) from error
