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
    """`work` does it. `ended` is called after every end of a job, also of one that was lost or was cancelled
    while it waited: it brings the rows of the subject in line with `job.state`, and cleans up. It is called
    once; when it raises, or its process dies, it is called again: it has to bear that."""

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


def known_cluster(name: str) -> str:
    """The cluster of a kind; "long" for one that is not registered any more, so that its jobs are seen."""
    return _kinds[name].cluster if name in _kinds else "long"


def ticks() -> dict[str, Callable[[], None]]:
    return dict(_ticks)
