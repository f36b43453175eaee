"""Commands before `migrate`, and without the panel's database."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings


def manage(state: Path, url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DRC_STATE": str(state), "DRC_DATABASE_URL": url, "DRC_LANGUAGE": "en"}
    line = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *words]
    return subprocess.run(
        line,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [("protect", "."), ("backup", "status"), ("recover", "full", "shop"), ("recovery-kit", "--list")])  # fmt: skip
def test_before_the_tables_are_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = manage(tmp_path, f"sqlite:///{tmp_path / 'new.sqlite3'}", *words)
    assert done.returncode == 1
    assert "The panel's database is not prepared: run manage.py migrate first." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    done = manage(tmp_path, f"sqlite:///{tmp_path / 'no' / 'such.sqlite3'}", "backup", "list")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "The panel's database cannot be reached: unable to open" in done.stderr
