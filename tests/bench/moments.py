"""Random moments under load: whether each recovered database equals the writer's own record."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"(?:MariaDB|PostgreSQL): \d+ moments, .*")


def run(engine: str, moments: int) -> tuple[int, str, float]:
    """The exit code (0: every moment was right), what was said, and the seconds that all of it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as state:
        environment = os.environ | {"DRC_TEST_MOMENTS": str(moments), "DRC_STATE": state}
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-s",
            f"tests/live/test_rewind_{engine}.py",
            "-k",
            "record_of_the_writer",
        ]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-2000:])
    found = LINE.search(done.stdout)
    return done.returncode, found[0] if found else "NOT RIGHT", time.monotonic() - began
