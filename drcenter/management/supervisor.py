"""Starts the parts of `manage.py run`, starts them again when they die, and stops them in order."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

from drcenter import process_tree
from drcenter.errors import OperationFailed
from drcenter.management.keeper import STOPPING, say
from drcenter.process import Child, Command, describe_exit, start

ROUND = 0.2
# Seconds before a part that died is started again, longer each time; a minute of good running resets it.
PAUSES = (1, 2, 5, 10, 30, 60)
SETTLED = 60.0


@dataclass
class Part:
    """One process that `manage.py run` keeps alive. `grace`: seconds it may take to stop."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    grace: float = 20.0
    child: Child | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0

    @property
    def runs(self) -> bool:
        return self.child is not None and self.child.code is None


class Supervisor:
    """`run()` returns when everything has stopped: 0 if all parts ended by themselves, 1 if one had to be killed."""

    def __init__(self, parts: Sequence[Part], ready: str = "") -> None:
        self.parts = parts
        self.ready = ready
        self._asked = 0
        self._killed = False

    def run(self) -> int:
        self._listen()
        process_tree.inherit_orphans()
        say(self.ready)
        while not self._asked:
            for part in self.parts:
                self._look_after(part)
            self._kill_orphans()
            time.sleep(ROUND)
        self._stop()
        return 1 if self._killed else 0

    def _listen(self) -> None:
        def ask(number: int, frame: FrameType | None) -> None:
            self._asked += 1

        for number in STOPPING:
            signal.signal(number, ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    # ------------------------------------------------------------------ while it runs

    def _look_after(self, part: Part) -> None:
        now = time.monotonic()
        if part.runs:
            return
        if part.child is not None:
            self._note_death(part, now)
        if now >= part.again_at:
            self._start(part, now)

    def _start(self, part: Part, now: float) -> None:
        command = Command(part.argv, env=part.env, inherit=tuple(os.environ))
        part.started = now
        try:
            # Standard output is ours; a part sends its standard error there as soon as it runs.
            part.child = start(command, stdout=1)
        except OperationFailed as error:
            part.again_at = now + PAUSES[-1]
            say(f"{part.name} cannot be started: {error}")

    def _note_death(self, part: Part, now: float) -> None:
        """Say so in one line, end what it left, and plan the next start."""
        child, part.child = part.child, None
        if child is None:
            return
        code = child.wait()
        kill_group(child.pid)
        part.deaths = 0 if now - part.started > SETTLED else part.deaths
        pause = PAUSES[min(part.deaths, len(PAUSES) - 1)]
        part.deaths += 1
        part.again_at = now + pause
        how = describe_exit(code) if code else "ended by itself"
        last = child.stderr.strip().rpartition("\n")[2]
        say(f"{part.name} {how}; it is started again in {pause} s. {last}".rstrip())

    def _kill_orphans(self) -> None:
        """What lost its parent below us belongs to nobody: a dump's helper, a worker of a dead cluster."""
        ours = {part.child.pid for part in self.parts if part.child is not None}
        for process, parent in process_tree.parents().items():
            if parent == os.getpid() and process not in ours:
                process_tree.kill_all([process, *process_tree.descendants(process)])
                _release(process)

    # ------------------------------------------------------------------ the end

    def _stop(self) -> None:
        say("Stopping; once more to kill at once.")
        asked = time.monotonic()
        for part in self.parts:
            if part.runs and part.child is not None:
                process_tree.send(part.child.pid, signal.SIGTERM)
        while any(part.runs for part in self.parts):
            for part in self.parts:
                self._lose_patience(part, time.monotonic() - asked)
            time.sleep(ROUND / 4)
        for part in self.parts:
            if part.child is not None:
                kill_group(part.child.pid)
        say("Stopped.")

    def _lose_patience(self, part: Part, waited: float) -> None:
        if part.runs and part.child is not None and (waited > part.grace or self._asked > 1):
            self._killed = True
            say(f"{part.name} did not stop within {waited:.0f} s and was killed.")
            below = process_tree.descendants(part.child.pid)
            part.child.kill()
            process_tree.kill_all(below)
            part.child.wait()


def kill_group(leader: int) -> None:
    """End what is left of the process group of a part that has ended."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def _release(process: int) -> None:
    end = time.monotonic() + 1
    try:
        while not os.waitpid(process, os.WNOHANG)[0] and time.monotonic() < end:
            time.sleep(0.01)
    except ChildProcessError:
        return
