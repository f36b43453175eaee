"""One archiver for each stream that is switched on, in threads of one process, until it is told to stop."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable

from django.db import DatabaseError, connections

from backups.logs import lease
from backups.logs.archive import Archiver
from backups.models import LogStream

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# An archiver brings away what it has before it ends.
END_SECONDS = 15.0


def serve(stop: threading.Event, only: int | None = None) -> None:
    """Returns after `stop` is set and every archiver has ended. `only`: this stream alone."""
    life = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    running: dict[int, threading.Thread] = {}
    while not stop.is_set():
        try:
            _look_after(running, life, stop, only)
        except DatabaseError as error:
            logger.error("log streams: the panel's database failed: %s", error)
            connections.close_all()
        stop.wait(LOOK_SECONDS)
    for thread in running.values():
        thread.join(END_SECONDS)
    connections.close_all()


def _look_after(
    running: dict[int, threading.Thread], life: str, stop: threading.Event, only: int | None
) -> None:
    for pk in [pk for pk, thread in running.items() if not thread.is_alive()]:
        del running[pk]
    streams = LogStream.objects.filter(enabled=True)
    for stream in streams.filter(pk=only) if only is not None else streams:
        if stream.pk not in running and lease.claim(stream.pk, life):
            act = Archiver(stream, life, stop).run
            thread = threading.Thread(target=_guarded, args=(act, str(stream)), name=f"archive-{stream.pk}")
            running[stream.pk] = thread
            thread.start()


def _guarded(act: Callable[[], None], name: str) -> None:
    try:
        act()
    except DatabaseError as error:
        logger.error("log stream %s: the panel's database failed: %s", name, error)
    except Exception:
        # The edge of a thread: whatever it is, the other streams go on, and this one is begun again.
        logger.exception("log stream %s failed", name)
    finally:
        connections.close_all()
