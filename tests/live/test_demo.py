"""The demonstration, as a person runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drcenter.management.demo.house import free_port
from tests.live.laravel import answer

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One state directory for all tests of this file: each start uses what the last one left."""
    place = tmp_path_factory.mktemp("demo")
    yield place
    servers = place / "demo" / "servers"
    if servers.is_symlink():
        subprocess.run(["rm", "-rf", servers.readlink()], check=True)


def demo(state: Path, *words: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"DRC_STATE": str(state), "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "manage.py", "demo", "--port", str(free_port(8500)), *words]
    return subprocess.Popen(
        argv, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_check_tries_everything_and_leaves_nothing(state: Path) -> None:
    began = time.monotonic()
    with demo(state, "--check") as process:
        text, _nothing = process.communicate(timeout=170)
    assert process.returncode == 0, text
    assert time.monotonic() - began < 170
    assert text.count("proven,") == 3, text
    assert len(re.findall(r"^✓ +\d+\.\d s  ", text, re.MULTILINE)) == 14, text
    assert "All of it works" in text
    assert processes_that_name(state) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_stopped_and_uses_what_is_there(state: Path, number: int) -> None:
    with demo(state) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops everything" in line:
                break
        text = "".join(lines)
        address = re.search(r"The panel: +(\S+)", text)
        assert address is not None, text
        assert answer(f"{address[1]}/admin/login/")[0] == 200
        password = re.search(r"Login: +admin / (\S+)", text)
        assert password is not None
        assert (state / "demo" / "password").read_text() == password[1]
        assert "WARNING" in text
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert processes_that_name(state) == []


def test_a_second_one_in_the_same_place_is_refused(state: Path) -> None:
    import fcntl

    with (state / "demo" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with demo(state, "--check") as process:
            text, _nothing = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "A demonstration runs in" in text


def processes_that_name(state: Path) -> list[str]:
    """Command lines of processes that work in the state directory, or in the place of its servers."""
    names = [str(state), str((state / "demo" / "servers").resolve())]
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if entry.parent.name != str(os.getpid()) and any(name in line for name in names):
            found.append(line)
    return found
