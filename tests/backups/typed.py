"""Calling the commands as people and scripts do: by call_command, and on a terminal of their own."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from tests.backups.scene import Scene
from tests.live.running import database_url


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "DRC_STATE": str(tmp_path / "state"), "DRC_SECRET_KEY": settings.SECRET_KEY,
        "DRC_DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "drcenter.settings", "COLUMNS": "100",
    }  # fmt: skip


@pytest.fixture
def manage(environment):
    """manage(words): the command, ended; without a terminal."""

    def manage(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            line(*words), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    return manage


def line(*words: str) -> list[str]:
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *words]


@pytest.fixture
def identity_file(scene: Scene, tmp_path: Path) -> str:
    path = tmp_path / "identity.txt"
    path.write_text(f"# public key: age1…\n{scene.identity.reveal()}\n")
    return str(path)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            line(*words), env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def until(self, text: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} did not come: {self.shown}"
            assert self._read() or text in self.shown, f"it ended without {text!r}: {self.shown}"

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return True
        try:
            found = os.read(self._ours, 65536)
        except OSError:
            return False
        self.shown += found.decode(errors="replace")
        return bool(found)

    def type(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def end(self) -> int:
        while self._read():
            if self.process.poll() is not None and not select.select([self._ours], [], [], 0.2)[0]:
                break
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._ours)


@pytest.fixture
def terminal(environment):
    opened = []

    def terminal(*words: str) -> Terminal:
        opened.append(Terminal(environment, *words))
        return opened[-1]

    yield terminal
    for one in opened:
        one.close()
