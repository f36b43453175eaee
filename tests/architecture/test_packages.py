"""deploy/install-system-packages and deploy/choose-python, with the tools of the system replaced by stubs."""

import os
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A machine where nothing is installed, and apt-get only writes down what it was asked for."""
    place = tmp_path / "bin"
    place.mkdir()
    for name, script in {
        "dpkg-query": "exit 1",
        "apt-cache": '[ "$2" != chromium ]',
        "apt-get": f'echo "$*" >>{tmp_path}/asked; echo "$RUNLEVEL" >>{tmp_path}/asked',
        "id": "echo ${FAKE_USER:-0}",
    }.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    return place


def install(stubs: Path, group: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"PATH": f"{stubs}:{os.environ['PATH']}"} | environment
    return subprocess.run(
        [DEPLOY / "install-system-packages", group], env=env, capture_output=True, text=True, check=False
    )


def test_the_tests_stop_without_root_and_name_the_packages(stubs: Path) -> None:
    done = install(stubs, "test", FAKE_USER="1000")
    assert done.returncode == 1
    for package in ("mariadb-server", "postgresql", "php-laravel-framework", "chromium", "gettext"):
        assert package in done.stderr


def test_running_goes_on_without_root_and_names_the_packages(stubs: Path) -> None:
    done = install(stubs, "run", FAKE_USER="1000")
    assert done.returncode == 0
    assert "sudo apt-get install" in done.stderr
    assert "chromium" not in done.stderr


def test_nothing_to_do_is_quick_and_quiet(stubs: Path) -> None:
    (stubs / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
    done = install(stubs, "test", FAKE_USER="1000")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_root_installs_what_there_is_and_starts_nothing(stubs: Path) -> None:
    policy = stubs.parent / "policy-rc.d"
    apt_get = stubs / "apt-get"
    apt_get.write_text(f"{apt_get.read_text()}cat {policy} >{stubs.parent}/policy\n")
    done = install(stubs, "test", POLICY=str(policy))
    assert done.returncode == 0
    assert "no package chromium" in done.stderr
    update, _level, asked, level = (stubs.parent / "asked").read_text().splitlines()
    assert update == "update -qq"
    assert "install -y" in asked
    assert "mariadb-server" in asked
    assert "chromium" not in asked
    assert level == "1"
    assert (stubs.parent / "policy").read_text() == "#!/bin/sh\nexit 101\n"
    assert not policy.exists()


def test_a_python_of_a_right_version_is_chosen(tmp_path: Path) -> None:
    def choose(python: str) -> "subprocess.CompletedProcess[str]":
        env = os.environ | {"PYTHON": python}
        return subprocess.run(
            [DEPLOY / "choose-python"], env=env, capture_output=True, text=True, check=False
        )

    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    chosen = choose(str(tmp_path / "old"))
    assert chosen.returncode == 0
    assert chosen.stdout.strip() != str(tmp_path / "old")
    (tmp_path / "new").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "new").chmod(0o755)
    assert choose(str(tmp_path / "new")).stdout.strip() == str(tmp_path / "new")
