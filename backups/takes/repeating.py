"""Takes a part again when the destination finally failed while it was being stored: the part alone, not the set.

A stream cannot be replayed, so the dump is taken anew, while the engine's snapshot is still open. Only parts whose
engine says that this gives the same moment (`PartSpec.again`); never after a failure of the dump itself, nor where
trying again makes no sense.
"""

import time
from collections.abc import Callable, Sequence

from django.utils.translation import gettext as _

from backups.destinations.base import Reader, Stored
from backups.engines.base import Finding, PartSpec
from backups.pipe.stream import Encoding, StoredPart, store
from backups.takes.taking import Taking
from drcenter.errors import OperationFailed
from drcenter.stored import in_english

# Seconds before each further try; the destination has tried again by itself before.
PAUSES: Sequence[float] = (5, 30)


def stored(
    taking: Taking, source: str, spec: PartSpec, put: Callable[[Reader], Stored], encoding: Encoding
) -> StoredPart:
    """Store the part; again after each of PAUSES where that may help. Raises the first failure when it stays."""
    failures: list[OperationFailed] = []
    for pause in (*PAUSES, None):
        watched = _Watched(put)
        try:
            part = store(spec, watched, encoding)
        except OperationFailed as error:
            taking.context.check()
            if pause is None or not spec.again or error.permanent or not watched.at_fault:
                if failures:
                    # It tells what happened; those after it mostly that it is still so.
                    raise failures[0] from error
                raise
            failures.append(error)
            taking.log(_again(spec, error), "warning")
            _wait(taking, pause)
        else:
            if failures:
                taking.found(source, [_told(spec, failures)])
            return part
    raise AssertionError  # pragma: no cover - the last round returns or raises


def _again(spec: PartSpec, error: OperationFailed) -> str:
    return _("%(part)s could not be stored (%(error)s); the part alone is taken again.") % {
        "part": spec.name, "error": error.message}  # fmt: skip


@in_english()
def _told(spec: PartSpec, failures: Sequence[OperationFailed]) -> Finding:
    text = _("The part %(part)s was taken %(count)d times, since the destination failed: %(error)s")
    return Finding(
        text % {"part": spec.name, "count": len(failures) + 1, "error": failures[-1].message},
        _("The set is whole. Look at the destination: its disk, its network, its limits."),
    )


def _wait(taking: Taking, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        taking.context.check()
        time.sleep(min(0.2, seconds))


class _Watched:
    """`put`, which knows afterwards whether the stream failed or what stores it."""

    def __init__(self, put: Callable[[Reader], Stored]) -> None:
        self._put = put
        self.at_fault = False

    def __call__(self, stream: Reader) -> Stored:
        reader = _Reading(stream)
        try:
            return self._put(reader)
        except OperationFailed:
            self.at_fault = not reader.failed
            raise


class _Reading:
    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self.failed = False

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except BaseException:
            self.failed = True
            raise
