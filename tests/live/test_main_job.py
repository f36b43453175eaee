"""The main job from the shell, with a real Laravel: protect, back up, prove, lose, recover."""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyrage
import pytest

from drcenter.management.demo.laravel import create
from tests.live.laravel import answer, served

PROJECT = Path(__file__).parents[2]
KEY = "from backups.models import RecoveryKey; RecoveryKey.objects.create(name='safe', recipient={!r})"
Manage = Callable[..., str]


@pytest.fixture(scope="module")
def manage(tmp_path_factory: pytest.TempPathFactory) -> Manage:
    environment = os.environ | {"DRC_STATE": str(tmp_path_factory.mktemp("state"))}

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("migrate", "-v0")
    return run


@pytest.fixture(scope="module")
def identity(manage: Manage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The identity, on a medium that the product does not know."""
    made = pyrage.x25519.Identity.generate()
    manage("shell", "-v0", "-c", KEY.format(str(made.to_public())))
    path = tmp_path_factory.mktemp("safe") / "identity.txt"
    path.write_text(f"{made}\n")
    return path


@pytest.fixture(scope="module")
def application(manage: Manage, identity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A protected application with one set, which is proven."""
    path = create(tmp_path_factory.mktemp("www") / "clinic")
    manage("protect", str(path), "--name", "clinic", "--yes")
    assert ": proven" in manage("backup", "run", "clinic", "--here")
    return path


def destroy(application: Path) -> None:
    with closing(sqlite3.connect(application / "database" / "database.sqlite")) as connection, connection:
        connection.execute("DELETE FROM calls WHERE id > 5")
        connection.execute("DROP TABLE appointments")
    shutil.rmtree(application / "storage" / "app" / "recordings")
    settings = (application / ".env").read_text()
    (application / ".env").write_text(re.sub(r"APP_KEY=.*", f"APP_KEY=base64:{'A' * 43}=", settings))
    (application / "routes" / "web.php").write_text(
        "<?php\nuse Illuminate\\Support\\Facades\\Route;\nRoute::get('/', fn () => abort(500));"
    )
    (application / "app" / "Intruder.php").write_text("<?php // was not there")


def test_what_was_lost_comes_back_and_the_application_runs(
    manage: Manage, application: Path, identity: Path
) -> None:
    with served(application) as address:
        before = json.loads(answer(address)[1])
        transcript = answer(f"{address}/calls/2400")[1]
        destroy(application)
        assert answer(address)[0] == 500
        manage("recover", "full", "clinic", "--production", "--host", socket.gethostname(), "--yes",
               "--without-safety-backup", "--break-glass", "The whole application was deleted, and nobody answers",
               "--identity-file", str(identity))  # fmt: skip
        assert answer(address) == (200, json.dumps(before, ensure_ascii=True, separators=(",", ":")))
        assert answer(f"{address}/calls/2400")[1] == transcript
    assert not (application / "app" / "Intruder.php").exists()
    assert not (application / "storage" / "framework" / "down").exists()


def test_beside_the_original_nothing_of_it_is_touched(
    manage: Manage, application: Path, identity: Path
) -> None:
    changed = application / "storage" / "app" / "public" / "logo.svg"
    changed.write_text("<svg/>")
    manage("recover", "files", "clinic", "--beside", "storage=storage_before", "--source", "storage", "--yes",
           "--identity-file", str(identity))  # fmt: skip
    assert changed.read_text() == "<svg/>"
    assert "circle" in (application / "storage_before" / "app" / "public" / "logo.svg").read_text()


def test_protecting_it_again_adds_nothing(manage: Manage, application: Path) -> None:
    assert "nothing new" in manage("protect", str(application), "--yes")
