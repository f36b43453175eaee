"""Units of systemd. There is no manager to talk to where tests run: a script that keeps the units' states stands
for `systemctl`, with the exit codes and words of systemctl(1)."""

import pytest

from drcenter.errors import OperationFailed
from drcenter.systems.control.systemd import Plugin, SystemdOptions
from tests.drcenter.systems.control.ground import TestGround

SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")/units" || exit 1
echo "$*" >> ../calls
case "$1" in
show) if [ -e "$4" ]; then echo loaded; else echo not-found; fi ;;
is-active) state=$(cat "$2"); echo "$state"; [ "$state" = active ] || exit 3 ;;
stop) if [ ! -e "$2.stubborn" ]; then echo inactive > "$2"; fi ;;
start) if [ ! -e "$2.broken" ]; then echo active > "$2"; else echo failed > "$2"; echo "Job failed" >&2; exit 1; fi ;;
*) exit 1 ;;
esac
"""


@pytest.fixture
def units(tmp_path):
    directory = tmp_path / "units"
    directory.mkdir()
    for name, state in (
        ("shop-queue.timer", "active"),
        ("shop-queue.service", "inactive"),
        ("php.service", "active"),
    ):
        (directory / name).write_text(state + "\n")
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    return directory


@pytest.fixture
def ground(tmp_path, units):
    return TestGround(tmp_path, tools=tmp_path)


WAY = Plugin({"units": ["shop-queue.timer", "shop-queue.service", "php.service"]})


def states(units) -> dict[str, str]:
    return {one.name: one.read_text().strip() for one in units.iterdir() if "." in one.name}


def test_what_ran_runs_again_and_what_did_not_stays_stopped(ground, units, tmp_path):
    WAY.check(ground)
    before, then = WAY.look(ground), states(units)
    WAY.stop(ground, before)
    assert set(states(units).values()) == {"inactive"}
    WAY.start(ground, before)
    assert states(units) == then
    done = [
        line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith(("stop", "start"))
    ]
    assert done == [
        "stop shop-queue.timer", "stop shop-queue.service", "stop php.service", "start php.service",
        "start shop-queue.timer",
    ]  # fmt: skip


def test_one_that_goes_on_running_is_told(ground, units):
    (units / "php.service.stubborn").touch()
    with pytest.raises(OperationFailed, match=r"Still running: php\.service") as told:
        WAY.stop(ground, WAY.look(ground))
    assert "journalctl -u php.service" in told.value.hint


def test_one_that_does_not_start_is_told(ground, units):
    before = WAY.look(ground)
    WAY.stop(ground, before)
    (units / "php.service.broken").touch()
    with pytest.raises(OperationFailed, match="Job failed"):
        WAY.start(ground, before)


def test_a_unit_that_there_is_none_of_is_told_before_anything_is_done(ground, units):
    with pytest.raises(OperationFailed, match=r"no unit shop\.service"):
        Plugin({"units": ["shop.service"]}).check(ground)


@pytest.mark.parametrize("name", ["php", "--now", "php.service;reboot", "a b.service", "../x.service"])
def test_names_that_are_no_units_are_refused(name):
    assert "units" in SystemdOptions({"units": name}).errors
