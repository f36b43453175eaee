"""Which function a job of a kind runs, and what happens at every tick. Apps register in `ready()`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drcenter.jobs.context import JobContext
    from drcenter.jobs.models import Job

Work = Callable[["JobContext", int], None]
AfterEnd = Callable[["Job"], None]


@dataclass(frozen=True)
class Kind:
    """`work` does it. `ended` is called with a job that did not end by itself (lost, or cancelled while
    queued), to bring the rows of its subject in line and to clean up what it left."""

    work: Work
    cluster: str
    ended: AfterEnd | None


_kinds: dict[str, Kind] = {}
_ticks: dict[str, Callable[[], None]] = {}


def register_kind(name: str, work: Work, *, cluster: str = "long", ended: AfterEnd | None = None) -> None:
    """Jobs of kind `name` run `work(context, primary key)` on `cluster` ("long" or "short")."""
    _kinds[name] = Kind(work, cluster, ended)


def register_tick(name: str, act: Callable[[], None]) -> None:
    """`act` is called about every 15 s. Calling it twice at once has to do no harm."""
    _ticks[name] = act


def kind(name: str) -> Kind:
    """Raises KeyError for a kind that no app has registered."""
    return _kinds[name]


def ticks() -> dict[str, Callable[[], None]]:
    return dict(_ticks)
