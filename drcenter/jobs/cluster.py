"""Runs one cluster of workers until it is asked to stop."""

import logging
import os
import signal
import time
from types import FrameType

from django.db import DatabaseError, connections
from django.utils import timezone

from drcenter import process_tree
from drcenter.jobs import pulse, work

logger = logging.getLogger(__name__)

# Seconds between two looks whether the queue still moves.
LOOK_EVERY = 30.0


def run() -> int:
    """Run the cluster that Q_CLUSTER_NAME names; 0 after SIGTERM or SIGINT, 1 when its sentinel died.

    Its processes end with their parent, whatever happens. django-q2's own handler stops the cluster inside
    of the signal handler, which can deadlock (its issue 346), and a dead sentinel ends it with exit code 0:
    here the handler only takes a note.
    """
    from django_q.cluster import Cluster

    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    # One line for each start, end and recycling of a worker says nothing to an operator.
    logging.getLogger("django-q").setLevel(logging.WARNING)
    process_tree.forks_end_with_us()
    work.listen_for_stop()
    cluster = Cluster()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    cluster.start()
    looked = time.monotonic()
    while not asked and cluster.sentinel.is_alive():
        time.sleep(0.1)
        if time.monotonic() - looked > LOOK_EVERY:
            looked = time.monotonic()
            if _hangs():
                break
    if not asked:
        return _give_up(cluster.sentinel.exitcode)
    stop_running_jobs()
    _wait_for_full_pool(cluster.sentinel.pid)
    cluster.stop()
    return 0


def _hangs() -> bool:
    """True when nothing comes out of our queue any more, though its processes live: a worker that is killed
    while it waits takes the lock of the queue with it (django-q2's issue 23)."""
    try:
        return os.environ.get("Q_CLUSTER_NAME", "") in pulse.silent(timezone.now())
    except DatabaseError:
        return False
    finally:
        connections.close_all()


def _give_up(code: int | None) -> int:
    if code is None:
        logger.error("nothing comes out of the queue any more: the workers are started again")
    else:
        logger.error("the sentinel of the workers ended with code %s", code)
    process_tree.kill_all(process_tree.descendants(os.getpid()))
    return 1


def _wait_for_full_pool(sentinel: int) -> None:
    """Let the sentinel replace workers that have just been recycled: it hands one end note to each worker of
    its pool, and would wait for ever for a dead one to take it. From the signal on none is recycled."""
    from django_q.conf import Conf

    time.sleep(Conf.GUARD_CYCLE + 0.1)
    end = time.monotonic() + 5
    # Workers, monitor, pusher.
    while time.monotonic() < end and len(_children(sentinel)) < Conf.WORKERS + 2:
        time.sleep(0.1)


def _children(process: int) -> list[int]:
    return [child for child, parent in process_tree.parents().items() if parent == process]


def stop_running_jobs() -> None:
    """Tell the workers below us to end their job as cancelled, and to claim no other."""
    session = os.getsid(0)
    for process in process_tree.descendants(os.getpid()):
        try:
            # Commands that jobs have started have sessions of their own, and would die of this signal.
            if os.getsid(process) == session:
                os.kill(process, signal.SIGUSR1)
        except ProcessLookupError:
            continue
