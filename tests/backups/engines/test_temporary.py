"""Protected directories: theirs alone, gone afterwards, and swept when a worker was killed."""

import os
import stat

import pytest

from backups.engines._temporary import protected_directory
from drcenter.errors import OperationFailed


@pytest.fixture(autouse=True)
def state(settings, tmp_path):
    settings.STATE_DIR = tmp_path / "state"
    return tmp_path / "state" / "tmp"


def test_it_is_protected_and_goes(state):
    with protected_directory() as directory:
        assert directory.parent == state
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "copy").write_text("x")
    assert not list(state.iterdir())


def test_it_goes_after_an_error_too(state):
    with pytest.raises(KeyboardInterrupt), protected_directory():
        raise KeyboardInterrupt
    assert not list(state.iterdir())


# From Python 3.12 on, forking beside threads is warned of.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_a_killed_worker_left_is_swept_and_what_lives_is_not(state):
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        with protected_directory() as directory:
            (directory / "copy").write_text("half")
            os._exit(0)  # as sudden as a kill: nothing is cleaned up
    os.waitpid(pid, 0)
    [left] = state.iterdir()
    with protected_directory() as first:
        assert not left.exists()
        with protected_directory():
            assert first.exists()


def test_no_place_is_told(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.STATE_DIR = tmp_path / "file"
    with pytest.raises(OperationFailed, match="No place for temporary files"), protected_directory():
        pass
