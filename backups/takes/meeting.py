"""Sources that are read side by side take their moments together: each is opened, and waits until all are."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

# After that a source that is not ready (a table stays locked) is waited for no longer: the spread will say so.
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.1


class Meeting:
    """Where so many threads wait for each other, once. Whoever comes later goes on at once."""

    def __init__(self, expected: int, check: Callable[[], None] = lambda: None) -> None:
        self._missing, self._check = expected, check
        self._counting, self._all = threading.Lock(), threading.Event()

    def wait(self) -> bool:
        """Until all are there: True; or PATIENCE_SECONDS are over: False, for all of them. `check` may raise."""
        with self._counting:
            self._missing -= 1
            if self._missing <= 0:
                self._all.set()
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._all.wait(LOOK_SECONDS):
            self._check()
            if time.monotonic() > until:
                self._all.set()
                return False
        return True


@dataclass
class Moment:
    """As at when the data of a source are: what was committed by `began` is in the set; where its engine takes one
    moment, nothing is that came after `taken`."""

    meeting: Meeting
    began: datetime
    taken: datetime

    def meet(self) -> None:
        """The source is ready: wait for the others, then its moment is taken."""
        self.meeting.wait()
        self.began = timezone.now()
