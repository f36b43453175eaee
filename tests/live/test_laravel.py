"""The sample application is a Laravel that behaves like one."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backups.dotenv import parse
from drcenter.errors import OperationFailed
from drcenter.management.demo.laravel import UNFINISHED, artisan, create
from tests.live.laravel import answer, served


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create(tmp_path_factory.mktemp("sample") / "with space & more")


@pytest.fixture(scope="module")
def address(application: Path) -> Iterator[str]:
    with served(application) as base:
        yield base


def test_answers_with_what_it_holds(address: str) -> None:
    status, body = answer(address)
    counts = {"customers": 400, "calls": 2500, "appointments": 1200, "recordings": 25}
    assert status == 200
    assert json.loads(body) == {"application": "Sample Clinic #1", **counts}


def test_transcripts_are_encrypted_in_the_database_and_readable_with_the_key(
    application: Path, address: str
) -> None:
    with closing(sqlite3.connect(application / "database" / "database.sqlite")) as connection:
        stored = connection.execute("SELECT transcript FROM calls WHERE id = 7").fetchone()[0]
    assert "Call 7" not in stored
    assert json.loads(answer(f"{address}/calls/7")[1])["transcript"].startswith("Call 7: the caller asks")


def test_down_and_up(application: Path, address: str) -> None:
    artisan(application, "down")
    try:
        assert answer(address)[0] == 503
    finally:
        artisan(application, "up")
    assert answer(address)[0] == 200


def test_the_commands_after_a_restore_work(application: Path, address: str) -> None:
    for command in ("config:cache", "config:clear", "cache:clear", "queue:restart"):
        artisan(application, command)
        assert answer(address)[0] == 200


def test_the_environment_is_private_and_its_key_random(application: Path, tmp_path: Path) -> None:
    other = create(tmp_path / "other")
    assert (application / ".env").stat().st_mode & 0o777 == 0o600
    keys = {parse((path / ".env").read_bytes()).get("APP_KEY") for path in (application, other)}
    assert len(keys) == 2


def test_a_finished_application_is_left_alone_and_a_half_one_is_made_anew(tmp_path: Path) -> None:
    path = create(tmp_path / "app")
    before = (path / ".env").read_text()
    assert create(path) == path
    assert (path / ".env").read_text() == before
    (path / UNFINISHED).touch()
    (path / "left over").touch()
    create(path)
    assert not (path / "left over").exists()
    assert (path / ".env").read_text() != before


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(OperationFailed, match="is not empty"):
        create(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_values_of_the_environment_are_written_as_laravel_reads_them(tmp_path: Path) -> None:
    odd = "p'a\"s$s \\w#o ${APP_NAME} r🔑d"
    path = create(tmp_path / "app", {"MAIL_PASSWORD": odd})
    assert parse((path / ".env").read_bytes()).values["MAIL_PASSWORD"] == odd
