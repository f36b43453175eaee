"""What every way to stop an application promises.

It says what runs now, so that exactly this can be given back: what was stopped before stays stopped.
Commands go through the `Ground` that it is handed, which knows the application's directory and user.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from django import forms

from drcenter.options import with_defaults
from drcenter.secrets import Secret

# What `look` found, as JSON.
State = dict[str, Any]


class Ground(Protocol):
    """Where an application stands."""

    @property
    def directory(self) -> str:
        """The directory of its commands; "" if it has none."""

    def path(self, words: tuple[str, ...]) -> None:
        """Raises OperationFailed, with what to install or correct, when the first word cannot be started."""

    def run(
        self, *words: str, files: Mapping[str, Secret] | None = None, accepted: tuple[int, ...] = (0,)
    ) -> str:
        """Run it there, as its user; all that it printed. `{name}` of a secret in a word becomes the path of a
        file that only it can read. Raises OperationFailed."""


class Control(ABC):
    """One way. Instances are cheap: nothing is opened before a method is called."""

    label: Any
    Options: type[forms.Form]

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = with_defaults(self.Options, options)

    @abstractmethod
    def describe(self) -> str:
        """What will be stopped, in a few words that an operator recognises: `deployment/shop in production`."""

    @abstractmethod
    def check(self, ground: Ground) -> None:
        """Raises OperationFailed, before anything is done, for what would only turn up half-way. Changes nothing."""

    @abstractmethod
    def look(self, ground: Ground) -> State:
        """What runs now: what `start` will be given. Raises OperationFailed when it cannot be told."""

    @abstractmethod
    def stop(self, ground: Ground, before: State) -> None:
        """Stop it, and return when it is stopped. Doing it twice does no harm."""

    @abstractmethod
    def start(self, ground: Ground, before: State) -> None:
        """Give back what `look` found before, and return when that is so. Doing it twice does no harm."""
