"""What kinds of recoveries there are: each says what exactly would run, and which job runs it.

`restore` is the first. Others register themselves in `AppConfig.ready()`, and go through the same gate
(backups/recovery/approval.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backups.models import Recovery
from drcenter.errors import OperationFailed


def _as_planned(recovery: Recovery) -> Mapping[str, Any]:
    """What was put into the plan stays: the job runs it from there."""
    payload: Mapping[str, Any] = recovery.plan.get("payload", {})
    return payload


def _nothing(_recovery: Recovery) -> None:
    """No check of its own."""


@dataclass(frozen=True)
class Kind:
    """`job`: the kind of job that runs it, called with the primary key of the recovery; its work calls
    `approval.require` before it writes anything.

    `describe`: what will happen, in order, one sentence each. `payload`: the kind's own part of the plan, as it
    would be now; by default what was planned. `check`: raises OperationFailed, before an approval is spent, for what
    would only fail in the job. `ended` has to leave no row of the kind in waiting or running. `reads_set` False: the
    job opens no set, so nobody has to bring an identity. `rewinds` False: nothing that production has is lost by it.
    """

    name: str
    job: str
    describe: Callable[[Recovery], list[str]]
    payload: Callable[[Recovery], Mapping[str, Any]] = _as_planned
    check: Callable[[Recovery], None] = _nothing
    reads_set: bool = True
    rewinds: bool = True
    # Its job understands `recovery.act`: a run that broke off can be resumed, or undone.
    resumable: bool = False


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    _kinds[kind.name] = kind


def of(recovery: Recovery) -> Kind:
    """Raises OperationFailed for a kind of another version of the product."""
    try:
        return _kinds[recovery.kind]
    except KeyError:
        raise OperationFailed(f"There is no recovery of the kind {recovery.kind}.", permanent=True) from None
