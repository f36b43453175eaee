"""Looking at real database servers: what is found, and what is said when a right is missing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from backups.models import Source
from backups.servers import mariadb, postgresql
from drcenter.management.demo.laravel import create

ODD = "it's \"# ${APP_NAME} \\ p@ss/w#rd"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def state(settings, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()


@pytest.fixture(scope="module")
def shop() -> Iterator[mariadb.Server]:
    with mariadb.private_server() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER laravel@'127.0.0.1' IDENTIFIED BY %s", (ODD,))
            for statement in (
                "CREATE DATABASE shop",
                "CREATE TABLE shop.calls (id INT PRIMARY KEY)",
                "CREATE TRIGGER shop.t BEFORE INSERT ON shop.calls FOR EACH ROW SET NEW.id = NEW.id + 1",
                "CREATE USER usual@'127.0.0.1' IDENTIFIED BY 'p@ss/w#rd'",
                "GRANT SELECT, LOCK TABLES, SHOW VIEW ON shop.* TO usual@'127.0.0.1'",
                "CREATE USER good@'127.0.0.1' IDENTIFIED BY 'p@ss/w#rd'",
                "GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON shop.* TO good@'127.0.0.1'",
                "GRANT SELECT ON mysql.* TO good@'127.0.0.1'",
                "CREATE DATABASE laravel CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
                "GRANT ALL ON laravel.* TO laravel@'127.0.0.1'",
                "GRANT SELECT ON mysql.* TO laravel@'127.0.0.1'",
            ):
                cursor.execute(statement)
        yield server


@pytest.fixture(scope="module")
def clinic() -> Iterator[postgresql.Server]:
    with postgresql.private_server() as server:
        with server.connect() as connection:
            connection.execute("CREATE ROLE reader LOGIN PASSWORD 'p@ss/w#rd'")
            connection.execute("CREATE DATABASE clinic")
        with server.connect("clinic") as connection:
            connection.execute("CREATE TABLE patients (id integer)")
        yield server


def protect(url: str, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    try:
        call_command("protect", url, *words)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out, _err = capsys.readouterr()
    assert "w#rd" not in out + _err
    assert "w%23rd" not in out + _err
    return code, out


def test_a_database_is_protected(shop: mariadb.Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = protect(f"mysql://good:p%40ss%2Fw%23rd@127.0.0.1:{shop.port}/shop", capsys, "--yes")
    assert code == 0, text
    source = Source.objects.get()
    assert (source.engine, source.options["user"]) == ("mariadb", "good")
    assert Path(source.options["password"].removeprefix("file:")).read_text() == "p@ss/w#rd"
    assert source.build().inspect().size > 0


def test_the_usual_rights_are_not_enough_and_the_grant_is_named(
    shop: mariadb.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = protect(f"mysql://usual:p%40ss%2Fw%23rd@127.0.0.1:{shop.port}/shop", capsys, "--yes")
    assert code == 3
    assert "GRANT TRIGGER, EVENT ON `shop`.* TO" in text


@pytest.mark.parametrize(
    ("user", "password", "database", "message"),
    [("good", "wrong-password", "shop", "Access denied"), ("good", "p%40ss%2Fw%23rd", "other", "denied")],
)
def test_what_mariadb_refuses_is_said(
    shop: mariadb.Server,
    capsys: pytest.CaptureFixture[str],
    user: str,
    password: str,
    database: str,
    message: str,
) -> None:
    code, text = protect(f"mysql://{user}:{password}@127.0.0.1:{shop.port}/{database}", capsys, "--json")
    (source,) = json.loads(text)["sources"]
    assert (code, message in source["problem"]) == (3, True)
    assert source["hint"]


def test_what_postgresql_refuses_is_said_with_the_grant(
    clinic: postgresql.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://reader:p%40ss%2Fw%23rd@127.0.0.1:{clinic.port}/clinic?sslmode=disable"
    code, text = protect(url, capsys, "--json")
    assert code == 3
    assert "GRANT" in text


def test_a_laravel_on_mariadb_with_an_odd_password(
    shop: mariadb.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Laravel itself signs in with this `.env`: so has to what was read from it."""
    settings = {"DB_CONNECTION": "mysql", "DB_HOST": "127.0.0.1", "DB_PORT": str(shop.port), "DB_DATABASE": "laravel",
                "DB_USERNAME": "laravel", "DB_PASSWORD": ODD}  # fmt: skip
    path = create(tmp_path / "clinic", settings)
    code, text = protect(str(path), capsys, "--yes")
    assert code == 0, text
    source = Source.objects.get(name="database")
    assert Path(source.options["password"].removeprefix("file:")).read_text() == ODD
    assert source.build().counts(["calls", "customers"]) == {"calls": 2500, "customers": 400}
