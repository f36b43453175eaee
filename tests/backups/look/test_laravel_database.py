from pathlib import Path

import pytest

from backups.dotenv import parse
from backups.look import laravel_database
from backups.look.laravel_database import database_source
from drcenter.errors import OperationFailed
from tests.backups.look.applications import DATABASE_PHP

ROOT = Path("/srv/app")
SERVER = {"host": "127.0.0.9", "port": 3306, "user": "forge", "database": "forge"}


@pytest.mark.parametrize(
    ("environment", "engine", "options", "password"),
    [
        ("", "mariadb", SERVER, None),
        ("DB_HOST=db1\nDB_PORT=3307\nDB_DATABASE=shop\nDB_USERNAME=app\nDB_PASSWORD='a #b'", "mariadb",
         {"host": "db1", "port": 3307, "user": "app", "database": "shop"}, "a #b"),
        ('NAME=shop\nDB_DATABASE=${NAME}_live\nDB_PASSWORD="${NAME} p\\"w"', "mariadb",
         SERVER | {"database": "shop_live"}, 'shop p"w'),
        ("DB_PASSWORD=null", "mariadb", SERVER, None),
        ("DB_HOST=db1,db2", "mariadb", SERVER | {"host": "db1"}, None),
        ("DB_SOCKET=/run/my.sock", "mariadb", SERVER | {"socket": "/run/my.sock"}, None),
        ("DB_CONNECTION=sqlite", "sqlite", {"path": "/srv/app/database/database.sqlite"}, None),
        ("DB_CONNECTION=sqlite\nDB_DATABASE=/data/x.db", "sqlite", {"path": "/data/x.db"}, None),
        ("DB_CONNECTION=tenant\nDB_DATABASE=shop", "postgresql",
         {"host": "127.0.0.9", "port": 3306, "user": "forge", "database": "shop"}, None),
        ("DATABASE_URL=postgres://app:pw@db1/shop", "postgresql",
         {"host": "db1", "port": 5432, "user": "app", "database": "shop"}, "pw"),
        ("DB_URL=postgres://app:pw@db1/shop", "mariadb", SERVER, None),
    ],
)  # fmt: skip
def test_finds_the_database(
    environment: str, engine: str, options: dict[str, object], password: str | None
) -> None:
    source = database_source(ROOT, parse(environment), DATABASE_PHP)
    found = source.secrets.get("password")
    assert (source.engine, source.options) == (engine, options)
    assert (found.reveal() if found else None) == password


def test_without_a_configuration_it_is_laravel_11() -> None:
    assert database_source(ROOT, parse(""), "").engine == "sqlite"
    source = database_source(ROOT, parse("DB_URL=mysql://app:pw@db1/shop"), "")
    assert source.options["database"] == "shop"


@pytest.mark.parametrize(
    ("environment", "configuration", "message"),
    [
        (
            "DB_CONNECTION=reports",
            DATABASE_PHP,
            "DB_CONNECTION is reports; such databases are not known here",
        ),
        ("DB_CONNECTION=sqlite\nDB_DATABASE=:memory:", DATABASE_PHP, "in memory only"),
        ("DB_CONNECTION=mysql", "", "DB_DATABASE is empty"),
    ],
)
def test_says_what_it_cannot_use(environment: str, configuration: str, message: str) -> None:
    with pytest.raises(OperationFailed, match=message):
        database_source(ROOT, parse(environment), configuration)


def test_localhost_is_the_socket_as_it_is_to_php(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laravel_database, "SOCKETS", (tmp_path / "missing.sock", tmp_path / "my.sock"))
    (tmp_path / "my.sock").touch()
    source = laravel_database.database_source(ROOT, parse("DB_HOST=localhost"), DATABASE_PHP)
    assert source.options["socket"] == str(tmp_path / "my.sock")
