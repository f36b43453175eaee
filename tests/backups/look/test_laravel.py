import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backups.look import Proposal, look_at
from drcenter.errors import OperationFailed
from tests.backups.look.applications import laravel

SQLITE = 'APP_NAME="Shop #1"\nAPP_KEY=base64:x\nDB_CONNECTION=sqlite\n'


@pytest.fixture
def shop(tmp_path: Path) -> Callable[[str], Proposal]:
    def look(environment: str) -> Proposal:
        root = laravel(tmp_path / "shop", environment)
        with closing(sqlite3.connect(root / "database" / "database.sqlite")) as connection:
            connection.execute("CREATE TABLE calls (id INTEGER)")
        return look_at(str(root))

    return look


def test_proposes_every_tier(shop: Callable[[str], Proposal], tmp_path: Path) -> None:
    proposal = shop(SQLITE)
    assert proposal.name == "Shop #1"
    assert [(source.name, str(source.tier), source.engine) for source in proposal.sources] == [
        ("application", "application", "files"),
        ("configuration", "configuration", "files"),
        ("storage", "storage", "files"),
        ("database", "database", "sqlite"),
    ]
    assert all(source.problem is None and source.size for source in proposal.sources)
    assert proposal.directory == str(tmp_path / "shop")


def test_nothing_is_stored_twice_and_the_marker_of_maintenance_stays(shop: Callable[[str], Proposal]) -> None:
    application, configuration, storage, _database = shop(SQLITE).sources
    assert {"vendor", "node_modules", ".git", "storage", "bootstrap/cache/*"} <= set(
        application.options["exclude"]
    )
    assert {".env", "config", "database/database.sqlite", "database/database.sqlite-wal"} <= set(
        application.options["exclude"]
    )
    assert configuration.options["only"][:4] == [".env", ".env.*", "config", "composer.json"]
    assert "logs/*" in storage.options["exclude"]
    assert storage.options["keep"] == ["framework/down", "framework/maintenance.php"]


def test_asks_artisan_for_its_version(shop: Callable[[str], Proposal]) -> None:
    assert ("Application", "Laravel 10.1.2") in shop(SQLITE).facts


def test_an_artisan_that_fails_is_no_obstacle(tmp_path: Path) -> None:
    root = laravel(tmp_path / "shop", SQLITE)
    (root / "artisan").write_text("<?php fwrite(STDERR, 'no vendor'); exit(255);")
    facts = dict(look_at(str(root)).facts)
    assert facts["Application"].startswith("unknown: php failed with exit code 255: no vendor")


def test_commands_around_a_restore(shop: Callable[[str], Proposal]) -> None:
    proposal = shop(SQLITE + "QUEUE_CONNECTION=redis\n")
    assert proposal.pause == [["php", "artisan", "down"]]
    assert proposal.resume == [["php", "artisan", "up"]]
    assert ["php", "artisan", "queue:clear", "redis", "--force"] in proposal.after_restore
    assert proposal.after_restore[-1] == ["php", "artisan", "queue:restart"]


def test_queued_jobs_in_the_database_are_not_cleared_but_told(shop: Callable[[str], Proposal]) -> None:
    proposal = shop(SQLITE + "QUEUE_CONNECTION=database\n")
    assert not [command for command in proposal.after_restore if "queue:clear" in command]
    assert any("they run again" in note for note in proposal.notes)


def test_directories_of_their_own_tier(tmp_path: Path) -> None:
    root = laravel(tmp_path / "shop", SQLITE)
    (root / "docs").mkdir()
    (root / "public" / "uploads").mkdir()
    sources = {source.name: source for source in look_at(str(root)).sources}
    assert str(sources["docs"].tier) == "documentation"
    assert str(sources["public-uploads"].tier) == "storage"
    assert {"docs", "public/uploads"} <= set(sources["application"].options["exclude"])


def test_a_database_that_cannot_be_reached_is_a_problem_with_a_reason(tmp_path: Path) -> None:
    proposal = look_at(str(laravel(tmp_path / "shop", SQLITE)))
    (problem,) = [source.problem for source in proposal.out_of_reach]
    assert problem is not None
    assert "database.sqlite" in problem.message


def test_odd_lines_of_the_environment_are_told_without_their_values(shop: Callable[[str], Proposal]) -> None:
    notes = " ".join(shop(SQLITE + "MAIL_FROM=My hunter22 Shop\n").notes)
    assert "line 4: a value with spaces has to stand in quotes" in notes
    assert "hunter22" not in notes


def test_no_environment_at_all(tmp_path: Path) -> None:
    proposal = look_at(str(laravel(tmp_path / "shop", None)))
    assert any("There is no .env file" in note for note in proposal.notes)
    assert proposal.name == "shop"


def test_an_environment_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = laravel(tmp_path / "shop", SQLITE)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        OperationFailed, match=r"\.env cannot be read: Permission denied\. Hint: Run this as root"
    ):
        look_at(str(root))


def test_warns_of_a_cached_configuration_and_a_lost_key(tmp_path: Path) -> None:
    root = laravel(tmp_path / "shop", "DB_CONNECTION=sqlite\nAPP_MAINTENANCE_DRIVER=cache\n")
    (root / "bootstrap" / "cache").mkdir(parents=True)
    (root / "bootstrap" / "cache" / "config.php").touch()
    notes = " ".join(look_at(str(root)).notes)
    for words in ("configuration is cached", "APP_KEY is empty", "APP_MAINTENANCE_DRIVER is cache"):
        assert words in notes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "No such file or directory"),
        ("empty", "is empty: there is nothing to protect"),
        ("note.txt", "is a file, and no SQLite database"),
    ],
)
def test_bad_places_get_a_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("note")
    with pytest.raises(OperationFailed, match=message):
        look_at(str(tmp_path / name))


def test_a_sqlite_file_and_a_plain_directory(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        connection.execute("CREATE TABLE a (id INTEGER)")
    (source,) = look_at(str(tmp_path / "data.db")).sources
    assert (source.engine, source.name) == ("sqlite", "database")
    plain = look_at(str(tmp_path))
    assert [source.engine for source in plain.sources] == ["files"]
    assert "no Laravel application" in plain.notes[0]
