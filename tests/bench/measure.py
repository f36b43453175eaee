"""Runs commands and says what they cost: wall seconds, CPU seconds of all their children, peak memory."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, seconds of CPU of the whole pipeline, and MB of the process itself (0: not asked)."""

    wall: float
    cpu: float
    memory: float = 0.0


def shell(script: str) -> Cost:
    """A pipeline of the shell. Raises CalledProcessError unless every part of it ended well."""
    began = time.monotonic()
    process = subprocess.Popen(["bash", "-c", f"set -e -o pipefail; {script}"])
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, script)
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime)


def ours(kind: str, options: dict[str, Any], *, also: bool = False) -> dict[str, Any]:
    """Our pipeline in a process of its own, which measures from after its imports, as a worker has done them."""
    argv = [sys.executable, "-m", "tests.bench.ours", kind, json.dumps(options), "also" if also else "only"]
    finished = subprocess.run(argv, check=True, capture_output=True, text=True)
    return json.loads(finished.stdout.splitlines()[-1])


def cost_of(result: dict[str, Any]) -> Cost:
    return Cost(result["wall"], result["cpu"], result["memory"])


@dataclass(frozen=True)
class Row:
    """One line of a table: medians, and the medians of the ratios to what was run beside it."""

    name: str
    costs: list[Cost]
    beside: list[Cost]
    stored: int = 0

    def line(self) -> str:
        walls, cpus = [cost.wall for cost in self.costs], [cost.cpu for cost in self.costs]
        wall_ratio = median(one.wall / other.wall for one, other in zip(self.costs, self.beside, strict=True))
        cpu_ratio = median(one.cpu / other.cpu for one, other in zip(self.costs, self.beside, strict=True))
        memory = max(cost.memory for cost in self.costs)
        return (
            f"| {self.name} | {median(walls):.2f} | {min(walls):.2f} to {max(walls):.2f} | {median(cpus):.2f} | "
            f"{wall_ratio:.2f} | {cpu_ratio:.2f} | {f'{memory:.0f}' if memory else ''} | {self.stored / 1e6:.0f} |"
        )


HEAD = (
    "| what | wall s, median | min to max | CPU s, median | wall ratio | CPU ratio | memory MB | stored MB |\n"
    "|---|---|---|---|---|---|---|---|"
)
