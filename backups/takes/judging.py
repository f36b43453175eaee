"""Tells what is wrong with a set from what is wrong with the machine that it is proven on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from backups.engines.base import Engine, NoScratch
from backups.storage.readback import Damaged, Unreadable
from drcenter.errors import OperationFailed

# What tools and servers say when there is no room, or when the other side went away.
NOT_THE_SET = re.compile(
    r"no space left|quota exceeded|disk (is )?full|err(code|no|or):? 28\b|error 1114\b|cannot allocate memory"
    r"|out of memory|gone away|lost connection|connection was lost|closed the connection|terminating connection"
    r"|the database system is|can't connect to|connection to server|was ended by signal",
    re.IGNORECASE,
)


class DoesNotRestore(OperationFailed):
    """The set is at fault: this machine had all that it needs."""


@contextmanager
def judged(place: Engine) -> Iterator[None]:
    """What fails inside, in a scratch place that was ready, becomes DoesNotRestore or NoScratch.

    NoScratch: there was no room, a child was killed, or the scratch server is gone: nothing is known of the set.
    Unreadable (the store is away) stays what it is.
    """
    try:
        yield
    except (NoScratch, Unreadable):
        raise
    except Damaged as error:
        raise _at_fault(error) from error
    except OperationFailed as error:
        if NOT_THE_SET.search(error.message):
            raise NoScratch(error.message, error.hint, permanent=error.permanent) from error
        _ask(place, error)
        raise _at_fault(error) from error


def _at_fault(error: OperationFailed) -> DoesNotRestore:
    return DoesNotRestore(error.message, error.hint, permanent=error.permanent)


def _ask(place: Engine, error: OperationFailed) -> None:
    try:
        place.answer()
    except OperationFailed as silence:
        raise NoScratch(f"The scratch server is gone: {silence.message} {error.message}") from error
