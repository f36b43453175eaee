"""One round of everything that apps have registered to happen regularly."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from django.db import DatabaseError, close_old_connections, connections

from drcenter.jobs.registry import ticks
from drcenter.stored import in_english

logger = logging.getLogger(__name__)

# Seconds from the beginning of one round to the next.
EVERY = 15.0
# A tick only looks and hands out work; one that takes this long hangs, and must not keep the others waiting.
LONGEST = 120


class TookTooLong(Exception):
    """A tick did not come back."""


def run_all(stop: Callable[[], bool] = lambda: False) -> list[str]:
    """Call every tick once; returns the names of those that failed. One that fails does not stop the others."""
    failed = []
    for name, act in ticks().items():
        if stop():
            break
        if not _run(name, act):
            failed.append(name)
    return failed


def _run(name: str, act: Callable[[], None]) -> bool:
    try:
        close_old_connections()
        with in_english(), _limited():
            act()
    except DatabaseError as error:
        # It is told in one line: while the database is away this comes every round, for every tick.
        logger.error("tick %s: the panel's database failed: %s", name, error)
        connections.close_all()
    except Exception:
        # The edge of the loop: whatever it is, the other ticks go on.
        logger.exception("tick %s failed", name)
        connections.close_all()
    else:
        return True
    return False


@contextmanager
def _limited() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"it did not end within {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
