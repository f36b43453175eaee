"""A worker that is killed: `python -m tests.backups.killed JOB KEY MOMENT` runs a job and kills itself with SIGKILL.

MOMENT: "begin", once the step KEY is written down; "end", when its work is done and nobody knows; "half", after the
first bytes that it writes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).parents[2]


def kill_worker(job: int, key: str, moment: str, environment: dict[str, str]) -> None:
    """Run the job in a process of its own until it kills itself. Raises AssertionError when it ended otherwise."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.backups.killed", str(job), key, moment],
        env=environment | {"PYTHONPATH": str(ROOT), "DRC_STATE": str(settings.STATE_DIR)}, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, (
        f"{key} {moment}: {done.returncode}\n{done.stdout}{done.stderr}"
    )


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _main(job: int, key: str, moment: str) -> None:
    import django

    django.setup()
    from backups.recovery import placing
    from backups.recovery.recovering import Recovering
    from drcenter.jobs.work import run_job

    original, write_all = Recovering.step, placing.write_all

    @contextmanager
    def step(self: Recovering, what: str, target: str, key: str = "") -> Iterator[None]:
        with original(self, what, target, key):
            if key == wanted and moment == "begin":
                _die()
            if key == wanted and moment == "half":
                placing.write_all = lambda stream, block: (
                    write_all(stream, block[:2000]),
                    stream.flush(),
                    _die(),
                )
            yield
            if key == wanted and moment == "end":
                _die()

    wanted = key
    Recovering.step = step
    run_job(job)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
