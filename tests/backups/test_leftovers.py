"""What killed workers leave in scratch places."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from backups import leftovers

HOLD = "import sys; from pathlib import Path\nfrom backups.leftovers import held_directory\nfrom django.conf import settings\nwith held_directory(Path(sys.argv[1]), 'x-') as path:\n    (path / 'secret').write_text('row')\n    print(path, flush=True)\n    sys.stdin.read()\n"


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=settings.BASE_DIR
    )
    with process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_what_is_held_stays_and_what_its_process_left_goes(tmp_path, holder, monkeypatch) -> None:
    process, path = holder
    monkeypatch.setattr(leftovers, "GRACE", 0)
    assert leftovers.sweep(tmp_path, "x-") == []
    process.kill()
    process.wait()
    assert [str(one) for one in leftovers.sweep(tmp_path, "x-")] == [path]
    assert not os.path.exists(path)


def test_what_is_new_stays(tmp_path, monkeypatch) -> None:
    (tmp_path / "x-new").mkdir()
    (tmp_path / "other").mkdir()
    assert leftovers.sweep(tmp_path, "x-") == []
    monkeypatch.setattr(leftovers, "GRACE", 0)
    assert leftovers.sweep(tmp_path, "x-") == [tmp_path / "x-new"]
    assert (tmp_path / "other").is_dir()


def test_it_is_gone_afterwards_also_after_an_error(tmp_path) -> None:
    with pytest.raises(ValueError, match="odd"), leftovers.held_directory(tmp_path / "a" / "b", "x-") as path:
        assert path.stat().st_mode & 0o777 == 0o700
        raise ValueError("odd")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_what_a_killed_archiver_had_received_goes(tmp_path, settings, monkeypatch) -> None:
    settings.STATE_DIR = tmp_path
    monkeypatch.setattr(leftovers, "GRACE", 0)
    stream = tmp_path / "logs" / "stream-7"
    (stream / "received-abc").mkdir(parents=True)
    (stream / "received-abc" / "binlog.000001").write_text("rows in the clear")
    (stream / "spool").mkdir()
    leftovers.sweep_all()
    assert [path.name for path in stream.iterdir()] == ["spool"]
