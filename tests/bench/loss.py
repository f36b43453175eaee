"""Many rounds of a server that dies with its disk: what is lost, and how long it takes to come back."""

import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(
    r"(?P<kind>[a-z ]+): (?P<acknowledged>\d+) acknowledged, (?P<lost>\d+) lost, a tail of (?P<tail>[\d.]+) s,"
    r" recovered in (?P<seconds>[\d.]+) s"
)


@dataclass
class Rounds:
    """Of one way to die."""

    acknowledged: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def run(engine: str, rounds: int) -> tuple[int, dict[str, Rounds]]:
    """The exit code of the rounds (0: every promise was kept), and what they measured."""
    with tempfile.TemporaryDirectory(prefix="bench-") as state:
        environment = os.environ | {"DRC_TEST_ROUNDS": str(rounds), "DRC_STATE": state}
        argv = [sys.executable, "-m", "pytest", "-q", "-s", f"tests/live/test_no_loss_{engine}.py"]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found: dict[str, Rounds] = defaultdict(Rounds)
    for match in LINE.finditer(done.stdout):
        one = found[match["kind"].strip()]
        one.acknowledged.append(int(match["acknowledged"]))
        one.lost.append(int(match["lost"]))
        one.tails.append(float(match["tail"]))
        one.seconds.append(float(match["seconds"]))
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-2000:])
    return done.returncode, found
