"""What is asked of another machine, with a deadline: one that hangs must not hang whoever asks."""

from collections.abc import Callable
from threading import Semaphore, Thread
from typing import TypeVar

from django.db import connections
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed

SECONDS = 20.0
# How many that hang a process puts up with; they end when their own time-outs do.
HANGING = 4
_free = Semaphore(HANGING)
T = TypeVar("T")


class TooLate(OperationFailed):
    """It did not end in time; whether it still will, nobody hears."""


def within(act: Callable[[], T], seconds: float = SECONDS) -> T:
    """What `act` returns or raises. Raises TooLate when it takes longer.

    `act` runs in a thread of its own and must not touch rows.
    """
    if not _free.acquire(blocking=False):
        raise TooLate(
            _("Several places that were asked before do not answer yet."),
            _("Wait a minute; look at the network between this machine and them."),
        )
    outcome: list[T] = []
    failed: list[BaseException] = []
    language = get_language()

    def run() -> None:
        try:
            with override(language):
                outcome.append(act())
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
            failed.append(error)
        finally:
            connections.close_all()
            _free.release()

    thread = Thread(target=run, daemon=True, name="within a deadline")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not outcome:
        raise TooLate(
            _("No answer within %(seconds)d s.") % {"seconds": seconds},
            _("Look whether address and port are right, and whether a firewall swallows the question."),
        )
    return outcome[0]
