"""What every check of a drill promises.

A check looks at what was restored, in scratch places, and says whether it is what the system needs. It never sees
production. One that cannot run has not passed: it raises OperationFailed with the reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import with_defaults
from drcenter.process import Children


@dataclass(frozen=True)
class Scene:
    """What a drill has restored. `held`: what the set says that each source held. `before`: rows of tables in the
    last good drill, by source. `workspace`: a directory of mode 0700 of the drill's own."""

    places: Mapping[str, Engine]
    held: Mapping[str, Witness]
    workspace: Path
    before: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    # Where each source lies in production, as a path; the place in the scratch is another one.
    originals: Mapping[str, str] = field(default_factory=dict)
    children: Children | None = None

    def place(self, source: str) -> Engine:
        """The scratch place of a source. Raises OperationFailed that names those that were restored."""
        if source not in self.places:
            raise OperationFailed(
                _("The source %(name)s was not restored. There are: %(known)s.")
                % {"name": source, "known": ", ".join(self.places)},
                _("Correct the check, or rehearse a set that has this source."),
                permanent=True,
            )
        return self.places[source]


@dataclass(frozen=True)
class Answer:
    """Whether it is true, in a sentence with what was found. `counts`: rows, for the next drill to compare with."""

    ok: bool
    message: str
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Check(ABC):
    """One kind of check. Instances are cheap: nothing is started before `run`."""

    label: Any
    Options: type[forms.Form]

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options: dict[str, Any] = with_defaults(self.Options, options)

    @property
    @abstractmethod
    def told(self) -> str:
        """What it asks, in one line for people."""

    @abstractmethod
    def run(self, scene: Scene) -> Answer:
        """Look. Raises OperationFailed when it cannot be told: then it has not passed."""
