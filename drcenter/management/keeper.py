"""The outermost process of `manage.py run`: nothing that was started below it outlives it.

It forks the supervisor, passes signals on to it, and inherits whatever loses its parent. When the supervisor
is killed, the keeper kills the rest. When the keeper is killed, the supervisor gets SIGTERM and stops
everything in order. When both are killed at once, every process below ends with its parent.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from drcenter import process_tree

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def keep(act: Callable[[], int]) -> int:
    """Run `act` in a process of its own; returns its exit code, or 1 if it was killed. Call it without threads."""
    process_tree.inherit_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    keeper = os.getpid()
    supervisor = os.fork()
    if not supervisor:
        os._exit(_supervise(act, keeper))
    code = _wait(supervisor)
    left = process_tree.kill_descendants()
    if left:
        say(f"{len(left)} processes were left over and have been killed.")
    return code if code >= 0 else 1


def say(text: str) -> None:
    """One line for the operator. A terminal that went away stops nothing."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _supervise(act: Callable[[], int], keeper: int) -> int:
    try:
        # A session of its own: Ctrl-C on a terminal reaches it once, through the keeper.
        os.setsid()
        process_tree.end_with(keeper, signal.SIGTERM)
        return act()
    except BaseException:  # noqa: BLE001 - the edge of a forked process
        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()


def _wait(supervisor: int) -> int:
    def pass_on(number: int, frame: FrameType | None) -> None:
        process_tree.send(supervisor, signal.SIGTERM)

    for number in STOPPING:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    while True:
        ended, status = os.wait()
        if ended == supervisor:
            break
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        say("The supervisor was killed; everything it had started is ended.")
    return code
