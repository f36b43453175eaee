"""The sample application: a real Laravel 8 over Debian's framework, on SQLite unless told otherwise."""

import base64
import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from drcenter.errors import OperationFailed
from drcenter.process import Command, find, run

SOURCE = Path(__file__).parent / "laravel"
# Stands in the directory until everything is there: what has it is ours, and may be made anew.
UNFINISHED = ".drcenter-sample-unfinished"
PLACES = (
    "bootstrap/cache", "storage/app/public", "storage/framework/cache/data", "storage/framework/sessions",
    "storage/framework/views", "storage/logs",
)  # fmt: skip
SECONDS = 120


def create(path: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Make the application in `path`, with tables, some thousand rows and uploads; returns `path`.

    `environment` adds to, or replaces, the lines of its `.env` (DB_CONNECTION and so on). A directory that
    holds the finished application is left as it is. Raises OperationFailed when it is something else, or
    when PHP or the framework is missing.
    """
    find("php")
    if _is_finished(path):
        return path
    _begin(path)
    shutil.copytree(SOURCE, path, dirs_exist_ok=True)
    for place in PLACES:
        (path / place).mkdir(parents=True, exist_ok=True)
    values = _defaults(path) | dict(environment or {})
    if values["DB_CONNECTION"] == "sqlite":
        Path(values["DB_DATABASE"]).touch()
    _write_environment(path / ".env", values)
    artisan(path, "migrate", "--force", "--seed")
    artisan(path, "storage:link")
    (path / UNFINISHED).unlink()
    return path


def without_php(path: Path) -> tuple[Path, Path]:
    """Its files, and a small database, for machines without PHP."""
    files, database = path / "application", path / "database.sqlite"
    shutil.copytree(SOURCE, files, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artisan"))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"
        )
        names = [(number, f"Customer {number} 🦷") for number in range(1, 401)]
        connection.executemany("INSERT OR REPLACE INTO customers VALUES (?, ?)", names)
    return files, database


def artisan(path: Path, *words: str) -> str:
    """Run `php artisan …` in the application; its output. Raises OperationFailed."""
    return run(Command(("php", "artisan", *words), directory=str(path)), timeout=SECONDS).stdout.decode()


def _is_finished(path: Path) -> bool:
    return (path / "artisan").exists() and (path / ".env").exists() and not (path / UNFINISHED).exists()


def _begin(path: Path) -> None:
    if (path / UNFINISHED).exists():
        shutil.rmtree(path)
    if path.exists() and any(path.iterdir()):
        raise OperationFailed(f"{path} is not empty.", "Choose another directory.", permanent=True)
    path.mkdir(parents=True, exist_ok=True)
    (path / UNFINISHED).touch()


def _defaults(path: Path) -> dict[str, str]:
    return {
        "APP_NAME": "Sample Clinic #1",
        "APP_ENV": "local",
        "APP_KEY": "base64:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "APP_URL": "http://127.0.0.1",
        "DB_CONNECTION": "sqlite",
        "DB_DATABASE": str(path.absolute() / "database" / "database.sqlite"),
        "QUEUE_CONNECTION": "database",
    }


def _write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Mode 0600 before a key is in it."""
    path.touch(mode=0o600)
    path.write_text(
        "# The sample's settings, made for this machine.\n" + "".join(_line(*pair) for pair in values.items())
    )


def _line(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'{name}="{escaped}"\n'
