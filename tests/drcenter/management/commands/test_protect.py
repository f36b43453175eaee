import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from backups.models import Source
from drcenter.systems.models import System
from tests.backups.look.applications import laravel

pytestmark = pytest.mark.django_db
ENVIRONMENT = 'APP_NAME="Shop #1"\nAPP_KEY=base64:x\nDB_CONNECTION=sqlite\n'
Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def state(settings, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = laravel(tmp_path / "shop", ENVIRONMENT)
    with closing(sqlite3.connect(root / "database" / "database.sqlite")) as connection:
        connection.execute("CREATE TABLE calls (id INTEGER)")
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command without a terminal; the exit code and all that was printed."""
    monkeypatch.setattr(sys, "stdin", StringIO(""))

    def call(*words: str) -> tuple[int, str]:
        out = StringIO()
        try:
            call_command("protect", *words, stdout=out, stderr=out)
        except SystemExit as end:
            return int(end.code or 0), out.getvalue()
        except CommandError as error:
            return error.returncode, out.getvalue() + str(error)
        return 0, out.getvalue()

    return call


def test_shows_and_creates(run: Run, shop: Path) -> None:
    code, text = run(str(shop), "--yes", "--name", "Clinic")
    assert code == 0
    for words in (
        "Laravel 10.1.2",
        "database (database)",
        "every day at 02:00",
        "php artisan down",
        "recovery-kit",
        "backup run clinic",
    ):
        assert words in text
    assert System.objects.get().name == "Clinic"


def test_twice_is_nothing_new(run: Run, shop: Path) -> None:
    run(str(shop), "--yes", "--directory-only")
    code, text = run(str(shop), "--yes", "--directory-only")
    assert code == 0
    assert "nothing new" in text
    assert Source.objects.count() == 4


def test_without_a_terminal_it_does_not_guess(run: Run, shop: Path) -> None:
    code, text = run(str(shop))
    assert code == 2
    assert "Add --yes" in text
    assert not System.objects.exists()


@pytest.mark.parametrize(("answer", "created"), [("y", True), ("n", False), ("", False)])
def test_asks(shop: Path, monkeypatch: pytest.MonkeyPatch, answer: str, created: bool) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    call_command("protect", str(shop), stdout=StringIO())
    assert System.objects.exists() is created


def test_json_looks_only_unless_told(run: Run, shop: Path) -> None:
    code, text = run(str(shop), "--json", "--directory-only")
    assert (code, System.objects.exists()) == (0, False)
    assert json.loads(text)["new"] == ["application", "configuration", "storage", "database"]
    code, text = run(str(shop), "--json", "--yes", "--directory-only")
    found = json.loads(text)
    assert (found["system"], len(found["created"]), found["new"]) == ("shop-1", 4, [])


def test_what_cannot_be_reached_is_said_in_the_exit_code(run: Run, shop: Path) -> None:
    (shop / "database" / "database.sqlite").unlink()
    code, text = run(str(shop), "--yes", "--directory-only")
    assert code == 3
    assert "NOT protected" in text
    assert Source.objects.count() == 3


def test_nothing_reachable_is_a_failure(run: Run) -> None:
    code, text = run("mysql://app@127.0.0.1:1/shop", "--yes")
    assert code == 1
    assert "cannot be reached" in text
    assert not System.objects.exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["/missing/place"], 1, "No such file or directory"),
        (["oracle://app:hunter22@db/x"], 1, "not known here"),
        (["env:DRC_NO_SUCH_URL"], 1, "DRC_NO_SUCH_URL is not set"),
        (["mysql://app@db/x", "--password-ref", "hunter22"], 2, "not the password itself"),
    ],
)
def test_bad_input(run: Run, words: list[str], code: int, message: str) -> None:
    found, text = run(*words)
    assert (found, message in text) == (code, True)
    assert "hunter22" not in text


def test_a_password_in_the_url_is_warned_of_and_never_shown(run: Run) -> None:
    _code, text = run("mysql://app:hunter22@127.0.0.1:1/shop", "--yes")
    assert "list of processes" in text
    assert "hunter22" not in text


def test_the_url_may_be_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch, shop: Path) -> None:
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{shop}/database/database.sqlite")
    code, text = run("env:SHOP_URL", "--yes")
    assert (code, Source.objects.get().engine) == (0, "sqlite")
    assert "list of processes" not in text


def test_errors_are_json_where_json_is_asked_for(run: Run) -> None:
    code, text = run("/missing/place", "--json")
    assert code == 1
    assert "No such file" in json.loads(text)["error"]


def test_what_is_protected_and_cannot_be_reached_is_not_called_fine(run: Run, tmp_path: Path) -> None:
    """A database that is known already, looked at with a password that does not open it."""
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (id INTEGER)")
    assert run(f"sqlite:///{path}", "--yes")[0] == 0
    code, text = run(f"sqlite:///{path}")
    assert (code, "nothing new" in text) == (0, True)
    path.write_bytes(b"no database at all, and longer than a header of one is" * 40)
    code, text = run(f"sqlite:///{path}")
    assert (code, "is protected already, but cannot be reached as given here: " in text) == (3, True), text
    assert "NOT protected" not in text
    assert "nothing new" not in text
    assert run(f"sqlite:///{path}", "--json")[0] == 3


def test_the_whole_machine_and_the_calendar(run: Run, shop: Path) -> None:
    """What there is besides depends on the machine that runs the test: information is on every one."""
    code, text = run(str(shop), "--yes", "--calendar")
    assert code in {0, 3}, text
    assert "packages, PHP modules, disks" in text
    system = System.objects.get()
    assert {"information", "metadata"} <= set(system.sources.values_list("name", flat=True))
    plans = {plan.name: plan for plan in system.plans.select_related("profile")}
    assert plans["daily"].profile.slug == "golden" and plans["monthly"].profile.slug == "ultimate"
    assert {source.tier for source in plans["daily"].chosen()} == {
        "application", "configuration", "storage", "database",
    }  # fmt: skip
    assert "external (every 30 minutes): left out." in text
    before = Source.objects.count()
    run(str(shop), "--yes", "--calendar")
    assert (Source.objects.count(), system.plans.count()) == (before, len(plans))
