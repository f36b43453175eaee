"""A worker in a process of its own that is killed where it is told to: `python -m ... JOB PHASE`.

PHASE is a phase of the job; `bytes` is the middle of a dump, `half a copy` that of a copy. `none` lets it live.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]


def run_and_die(job: int, phase: str, state: Path) -> int:
    """Run the job in such a worker on the tests' database; its exit code, -9 when it was killed."""
    with started(job, phase, state) as worker:
        return worker.wait(60)


def started(job: int, phase: str, state: Path) -> "subprocess.Popen[bytes]":
    from tests.live.running import database_url

    environment = os.environ | {
        "DRC_STATE": str(state),
        "DRC_DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "drcenter.settings",
    }
    argv = [sys.executable, "-m", "tests.live.dying_worker", str(job), phase]
    return subprocess.Popen(argv, cwd=HERE, env=environment, start_new_session=True)


def _die_in(phase: str) -> None:
    from drcenter.jobs.context import JobContext

    told, advanced = JobContext.phase, JobContext.advance

    def tell(self: JobContext, name: object, *args: object, **more: object) -> None:
        told(self, name, *args, **more)  # type: ignore[arg-type]
        if str(name) == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    def advance(self: JobContext, count: int) -> None:
        advanced(self, count)
        wanted = {"bytes": "dumping", "half a copy": "copying"}.get(phase)
        if self._phase == wanted and self.counted[0] > 1 << 20:
            os.kill(os.getpid(), signal.SIGKILL)

    JobContext.phase, JobContext.advance = tell, advance  # type: ignore[method-assign,assignment]


def main(job: int, phase: str) -> None:
    import django

    django.setup()
    from drcenter.jobs.work import run_job

    _die_in(phase)
    run_job(job)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
