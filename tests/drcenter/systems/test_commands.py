"""Commands of a system: in which directory, as whom, and what is said when they fail."""

import os
import pwd
import time
from pathlib import Path

import pytest

from drcenter.errors import OperationFailed
from drcenter.process import Children
from drcenter.systems import commands
from drcenter.systems.commands import check_commands, command_for, run_commands
from drcenter.systems.models import System


def system(**fields) -> System:
    return System(slug="shop", name="Shop", **fields)


def test_in_order_in_their_directory_with_the_last_line_of_each(tmp_path: Path) -> None:
    lines = run_commands(
        system(commands_directory=str(tmp_path)),
        [["sh", "-c", "echo first; pwd"], ["sh", "-c", "true"], ["sh", "-c", "echo äöü"]],
    )
    assert lines == [str(tmp_path), "", "äöü"]


def test_the_first_that_fails_is_the_last_that_runs(tmp_path: Path) -> None:
    place = system(commands_directory=str(tmp_path))
    with pytest.raises(OperationFailed, match=r"sh -c .*: sh failed with exit code 7: not today"):
        run_commands(place, [["touch", "one"], ["sh", "-c", "echo not today >&2; exit 7"], ["touch", "two"]])
    assert [one.name for one in tmp_path.iterdir()] == ["one"]


def test_what_php_writes_to_standard_output_is_the_reason_if_there_is_no_other() -> None:
    with pytest.raises(OperationFailed, match="PHP Fatal error: no autoload"):
        run_commands(system(), [["sh", "-c", "echo 'PHP Fatal error: no autoload'; exit 255"]])


def test_a_path_is_taken_from_the_directory(tmp_path: Path) -> None:
    script = tmp_path / "stop.sh"
    script.write_text("#!/bin/sh\necho stopped\n")
    script.chmod(0o755)
    place = system(commands_directory=str(tmp_path), pause_command=[["./stop.sh"]])
    check_commands(place)
    assert run_commands(place, place.pause_command) == ["stopped"]


def test_a_daemon_that_a_start_command_leaves_is_not_waited_for(tmp_path: Path) -> None:
    """Nor killed: it is what was to be started."""
    began = time.monotonic()
    run_commands(
        system(commands_directory=str(tmp_path)), [["sh", "-c", "sleep 20 2> /dev/null & echo $! > pid"]]
    )
    assert time.monotonic() - began < 5
    daemon = int((tmp_path / "pid").read_text())
    os.kill(daemon, 0)
    os.kill(daemon, 9)


def test_too_long(monkeypatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.2)
    with pytest.raises(OperationFailed, match="sleep 30: sleep did not end within"):
        run_commands(system(), [["sleep", "30"]])


def test_a_job_that_is_stopped_kills_it() -> None:
    children = Children()
    children.kill()
    with pytest.raises(OperationFailed, match="was ended by signal SIGKILL"):
        run_commands(system(), [["sleep", "30"]], children)


def test_as_its_user_with_the_home_of_that_user(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "the tests run as root, as the workers do that act for others"
    account = pwd.getpwnam("www-data")
    place = system(commands_user="www-data")
    assert run_commands(place, [["id", "-un"], ["sh", "-c", "echo $HOME $USER"], ["id", "-gn"]]) == [
        "www-data", f"{account.pw_dir} www-data", "www-data",
    ]  # fmt: skip


def test_as_oneself_nothing_has_to_be_changed() -> None:
    """A worker that is the application's own user has no right to change to anybody, itself included."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert command_for(system(commands_user=me), ["true"]).user is None


def test_somebody_else_cannot_become_another_user(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    with pytest.raises(OperationFailed, match="The worker is nobody, and cannot act as www-data") as caught:
        command_for(system(commands_user="www-data"), ["true"])
    assert "sudo -n -u www-data" in caught.value.hint


REFUSED = [
    ({"commands_user": "no-such-user"}, "There is no user no-such-user on this machine"),
    ({"commands_directory": "/no/such/place"}, "The directory of the commands, /no/such/place, does not exist"),
    ({"pause_command": [["true"], ["no-such-tool"]]}, "no-such-tool: The tool no-such-tool is not installed"),
    ({"after_restore_command": [["./no-such-script"]]}, "./no-such-script: The tool no-such-script"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_could_not_be_started_is_known_beforehand(fields, message) -> None:
    with pytest.raises(OperationFailed, match=message) as caught:
        check_commands(system(**{"resume_command": [["true"]], **fields}))
    assert caught.value.permanent


def test_a_system_without_commands_needs_nothing() -> None:
    check_commands(system())
    assert run_commands(system(), []) == []
