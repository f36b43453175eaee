import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from drcenter.errors import OperationFailed
from drcenter.management.demo import databases, ground, house, laravel, places, story
from drcenter.management.demo.steps import Steps


@pytest.fixture(autouse=True)
def state(settings, tmp_path: Path) -> Path:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    return settings.STATE_DIR


@contextmanager
def missing() -> Iterator[databases.Sample]:
    raise OperationFailed(
        "No MariaDB server is installed on this machine.", "Install it: apt-get install mariadb-server"
    )
    yield


@contextmanager
def broken() -> Iterator[databases.Sample]:
    raise OperationFailed("The private MariaDB server did not start: disk full")
    yield


def test_a_server_that_is_not_installed_is_one_line() -> None:
    lines: list[str] = []
    told = story.Story(Steps(lines.append))
    with ExitStack() as stack:
        story._database(told, stack, "A MariaDB database", missing)
    (line,) = lines
    assert line.startswith("✓")
    assert "left out: No MariaDB server is installed on this machine. Install it: apt-get" in line
    assert told.systems == []


@pytest.mark.django_db
def test_the_second_person_of_the_demonstration_may_approve_and_nothing_else() -> None:
    from django.contrib.auth.models import User

    first, second = ground.login(), ground.second_login()
    assert first != second and ground.second_login() == second
    user = User.objects.get(username=second[0])
    assert user.check_password(second[1]) and user.is_staff and not user.is_superuser
    assert user.has_perm("backups.approve_recovery") and user.has_perm("backups.view_recovery")
    assert not user.has_perm("backups.restore_production")


def test_a_server_that_does_not_start_is_a_failure() -> None:
    lines: list[str] = []
    with pytest.raises(OperationFailed, match="disk full"), ExitStack() as stack:
        story._database(story.Story(Steps(lines.append)), stack, "A MariaDB database", broken)
    assert lines[0].startswith("✗")


def test_another_port_is_taken_when_the_wanted_one_is_busy() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not house.is_free(port)
        with pytest.raises(OperationFailed, match="--port") if port >= house.PORTS[-1] else ExitStack():
            assert house.free_port(port) != port


def test_secrets_are_made_once_and_private(state: Path) -> None:
    first = places.secret("password")
    assert places.secret("password") == first
    path = state / "demo" / "password"
    assert path.read_text() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) >= 12


@pytest.mark.django_db
def test_the_login_and_the_key_are_made_once(state: Path) -> None:
    assert ground.login() == ground.login()
    reference = ground.drill_identity()
    assert ground.drill_identity() == reference
    assert (state / "demo" / "drill-identity").read_text().startswith("AGE-SECRET-KEY-1")


@pytest.mark.django_db
def test_the_state_of_a_real_installation_is_refused(key) -> None:
    with pytest.raises(OperationFailed, match="recovery keys of its own"):
        ground.prepare_database()


def test_without_php_files_and_a_database_are_left(tmp_path: Path) -> None:
    for _again in range(2):
        files, database = laravel.without_php(tmp_path / "sample")
    assert (files / "app" / "Models" / "Call.php").exists()
    assert not (files / "artisan").exists()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (400,)
