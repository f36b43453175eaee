"""Who ends with whom, and who is left (Linux).

Three facts of the kernel carry this (prctl(2)): a *subreaper* inherits the orphans below it; a process can
ask for a signal when its parent ends; that wish is not inherited by what it forks.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def inherit_orphans() -> None:
    """Whatever below us loses its parent becomes our child instead of init's."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Get signal `number` when `parent` ends, at once if it has ended already."""
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def forks_end_with_us() -> None:
    """From now on every process that this one forks is killed when its parent ends, however deep the tree.

    Commands that are executed are not reached by this: drcenter.process asks for the same through setpriv.
    """
    parent = 0

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: end_with(parent))


def parents() -> dict[int, int]:
    """{process: its parent} of everything that runs now, zombies left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name stands in parentheses and may hold anything: what follows the last one counts.
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # It ended while we looked.
        if state != "Z":
            found[int(entry.name)] = int(parent)
    return found


def descendants(ancestor: int) -> list[int]:
    """Every process below `ancestor`, the nearest first."""
    children: dict[int, list[int]] = {}
    for process, parent in parents().items():
        children.setdefault(parent, []).append(process)
    found = list(children.get(ancestor, []))
    for process in found:
        found += children.get(process, [])
    return found


def kill_all(processes: list[int]) -> None:
    for process in processes:
        send(process, signal.SIGKILL)


def send(process: int, number: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def kill_descendants(patience: float = 5.0) -> list[int]:
    """Kill everything below us and wait for its end; returns what was killed. For a subreaper."""
    killed: list[int] = []
    end = time.monotonic() + patience
    while time.monotonic() < end:
        left = descendants(os.getpid())
        killed += [process for process in left if process not in killed]
        kill_all(left)
        reap_ended()
        if not left:
            break
        time.sleep(0.05)
    return killed


def reap_ended() -> None:
    """Let go of children that have ended. Only where nobody else waits for one of them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
