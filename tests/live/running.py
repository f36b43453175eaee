"""`manage.py run` for real, on the tests' database and a state directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

from drcenter import process_tree


def database_url() -> str:
    if connection.vendor == "sqlite":
        return f"sqlite:///{connection.settings_dict['NAME']}"
    one = connection.settings_dict
    return f"postgresql://{one['USER']}:{one['PASSWORD']}@{one['HOST']}:{one['PORT']}/{one['NAME']}"


def wait_for(condition: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what or condition}"
        time.sleep(0.1)


class Running:
    """The whole process tree. `everything()` finds its processes wherever they have gone to."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.log = state / "run.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.live.sample_jobs.settings",
            "DRC_STATE": str(self.state),
            "DRC_SECRET_KEY": settings.SECRET_KEY,
            "DRC_DATABASE_URL": database_url(),
            "DRC_PROTECT_SELF": "False",
        }

    def start(self, *words: str) -> "Running":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run", *(words or ("--no-web",)), "--skip-checks"),
                env=self.environment, stdout=log, stderr=log, cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip
        wait_for(lambda: "runs" in self.output, what="the start")
        return self

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def keeper(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def supervisor(self) -> int:
        return next(one for one, parent in process_tree.parents().items() if parent == self.keeper)

    def everything(self) -> list[int]:
        """Every process with our state directory in its environment: the product's own, not the tools."""
        mark = f"DRC_STATE={self.state}".encode()
        found = []
        for process in process_tree.parents():
            try:
                if mark in Path(f"/proc/{process}/environ").read_bytes():
                    found.append(process)
            except OSError:
                continue
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the outermost process; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.everything():
            process_tree.send(process, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)


def tools(subject: int) -> list[int]:
    """The tools of the sample job with this subject that run."""
    found = []
    for process in process_tree.parents():
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"] and words[1].startswith(f"{subject}.".encode()):
            found.append(process)
    return found
