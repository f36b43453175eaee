"""A worker that is killed while it puts rows back: `python -m tests.live.dying_rows JOB POINT`.

POINT: `begun`, `written` (all rows are, in an open transaction), `committing` (the row says so, COMMIT was not sent),
`committed` (COMMIT was answered, nobody was told).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_and_die(job: int, point: str, state: Path) -> int:
    """The exit code of such a worker, -9 when it was killed."""
    from tests.live.running import database_url

    environment = os.environ | {
        "DRC_STATE": str(state), "DRC_DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "drcenter.settings",
    }  # fmt: skip
    argv = [sys.executable, "-m", "tests.live.dying_rows", str(job), point]
    return subprocess.run(
        argv, cwd=Path(__file__).parents[2], env=environment, check=False, timeout=60
    ).returncode


def main(job: int, point: str) -> None:
    import django

    django.setup()
    from backups.rows import apply, outcome
    from drcenter.jobs.work import run_job

    def die(*_arguments: Any, **_more: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    committing = apply._committing

    def say_and_die(change: Any) -> None:
        committing(change)
        die()

    if point == "begun":
        apply._check_unchanged = die
    elif point == "written":
        apply._committing = die
    elif point == "committing":
        apply._committing = say_and_die
    elif point == "committed":
        outcome.write = die
    run_job(job)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
