"""What every action promises: something that a person, or a runbook, does to a system in an incident.

Look first, then act, then measure whether it worked. What `look` found is kept before anything is done, so that
whoever comes after a crash knows what there was, and `undo` can give it back.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from drcenter.errors import OperationFailed
from drcenter.options import with_defaults
from drcenter.process import Children, Command
from drcenter.systems.commands import printed
from drcenter.systems.halt import ApplicationsGround
from drcenter.systems.models import System

# What `look` found, as JSON.
State = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """Where an action acts: the system, whose commands run in its directory as its user, and a log."""

    system: System
    log: Callable[[str], None]
    children: Children | None = None

    @property
    def ground(self) -> ApplicationsGround:
        return ApplicationsGround(self.system, self.children)

    def run(self, *words: str, accepted: tuple[int, ...] = (0,)) -> str:
        """Run a command of the application; what it printed, which goes to the log as well. Raises OperationFailed."""
        said = self.ground.run(*words, accepted=accepted)
        self.log(f"{' '.join(words)}: {said[-2000:]}" if said else " ".join(words))
        return said

    def run_ours(self, command: Command) -> str:
        """Run a command that is none of the application's."""
        return printed(command, self.children)


class Action(ABC):
    """One kind of step. Instances are cheap: nothing is opened before a method is called."""

    label: Any
    Options: type[forms.Form]
    # It changes what users see, or what cannot be had back: whoever runs it types the system's key.
    destructive = True
    # `undo` gives back what `look` found.
    reversible = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = with_defaults(self.Options, options)

    @abstractmethod
    def describe(self) -> str:
        """What it does, in one line that an operator recognises."""

    @abstractmethod
    def look(self, context: Context) -> State:
        """What there is now. Raises OperationFailed when the action could not be done. Changes nothing."""

    @abstractmethod
    def foretell(self, before: State) -> list[str]:
        """What will be done, given what `look` found, a sentence each; what is lost, and how long it takes."""

    @abstractmethod
    def execute(self, context: Context, before: State) -> None:
        """Do it. Doing it again after a crash does no harm."""

    @abstractmethod
    def verify(self, context: Context, before: State) -> str:
        """A sentence with what was measured afterwards. Raises OperationFailed when it did not work."""

    def undo(self, context: Context, before: State) -> None:
        """Give back what `look` found. Only where `reversible`."""
        raise OperationFailed("This cannot be undone.", permanent=True)
