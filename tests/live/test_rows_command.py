"""`manage.py recover rows` and `recover table`, as somebody types them, with a second person's word in between."""

import json
import sqlite3
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from backups.models import RowChange
from tests.backups.approving import somebody
from tests.backups.taking import quick
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(ground, tmp_path, monkeypatch):
    (tmp_path / "identity").write_text(ground.identity)
    ground.fill()
    ground.take()
    ground.do("DELETE FROM orders WHERE id = 3", "UPDATE orders SET note = 'x' WHERE id = 4")
    return ground


def said(*words: str, tmp_path, **options) -> tuple[int, str]:
    """The exit code, and what was printed."""
    out = StringIO()
    words = (*words, "--identity-file", str(tmp_path / "identity"))
    try:
        call_command("recover", *words, stdout=out, stderr=out, **options)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def alone(*words: str, tmp_path) -> tuple[int, str]:
    """Without a second person, as at three in the morning."""
    host = f"{'localhost'}"
    return said(*words, "--host", host, "--yes", "--break-glass", "nobody else is awake", tmp_path=tmp_path)


@each_kind("sqlite")
def test_look_put_back_undo(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    before = shop.everything()
    code, text = said("rows", "shop", "orders", tmp_path=tmp_path)
    assert code == 0
    assert "- id=3, customer_id=4, total=3.5, note=it's 3%" in text
    assert "~ id=4  note: x ← it's 4%" in text
    assert "1 deleted, 1 changed, 0 added" in text
    assert shop.everything() == before
    code, text = alone("rows", "shop", "orders", "--apply", "--where", "id=3", tmp_path=tmp_path)
    assert (code, "INSERT INTO" in text, "'it''s 3%'" in text) == (0, True, True), text
    number = str(RowChange.objects.latest("pk").pk)
    assert f"--undo {number}" in text
    assert len(shop.ask("SELECT * FROM orders WHERE id = 3")) == 1
    code, text = alone("rows", "shop", "--undo", number, tmp_path=tmp_path)
    assert (code, shop.everything()) == (0, before), text


@each_kind("sqlite")
def test_a_plan_waits_for_a_second_person(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    otto = somebody("otto", "restore_rows", "restore_production")
    otto.set_password("correct horse")
    otto.save()
    monkeypatch.setenv("OTTO", "correct horse")
    before = shop.everything()
    words = ("--apply", "--host", "localhost", "--yes", "--as", "otto", "--password", "env:OTTO", "--no-wait")
    code, text = said("rows", "shop", "orders", *words, "--reason", "deleted by mistake", tmp_path=tmp_path)
    assert (code, shop.everything()) == (3, before), text
    assert "Another person approves it" in text


@each_kind("sqlite")
def test_the_wrong_host_writes_nothing(shop, tmp_path) -> None:
    before = shop.everything()
    words = ("--apply", "--host", "elsewhere", "--yes", "--break-glass", "x")
    with pytest.raises(CommandError, match="not the system and the host"):
        said("rows", "shop", "orders", *words, tmp_path=tmp_path)
    assert shop.everything() == before


@each_kind("sqlite")
def test_exports(shop, tmp_path) -> None:
    csv, sql = tmp_path / "out.csv", tmp_path / "out.sql"
    assert said("rows", "shop", "orders", "--export", "csv", str(csv), tmp_path=tmp_path)[0] == 0
    lines = csv.read_text().splitlines()
    assert lines[0].startswith("kind,id,customer_id,total,note,id (now)")
    assert sorted(line.split(",")[0] for line in lines[1:]) == ["changed", "deleted"]
    assert csv.stat().st_mode & 0o077 == 0
    assert said("rows", "shop", "orders", "--export", "sql", str(sql), tmp_path=tmp_path)[0] == 0
    with sqlite3.connect(shop.source.options["path"]) as connection:
        connection.executescript(sql.read_text())
    code, text = said("rows", "shop", "orders", "--json", tmp_path=tmp_path)
    assert code == 0
    counts = json.loads(text[text.index("{") :])["counts"]
    assert (counts["deleted"], counts["changed"], counts["added"]) == (0, 0, 0)
    with pytest.raises(CommandError, match="is there already"):
        said("rows", "shop", "orders", "--export", "csv", str(csv), tmp_path=tmp_path)


@each_kind("sqlite")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rows", "shop", "nothing"), "no table nothing"),
        (("rows", "shop", "orders", "--at", "1999-01-01"), "no set from before that moment"),
        (("rows", "shop", "orders", "--at", "2999-01-01"), "lies in the future"),
        (("rows", "shop", "orders", "--where", "colour=red"), "is no condition"),
        (("rows", "shop", "orders", "--key", "colour"), "no column that both tables have"),
        (("rows", "shop", "--undo", "77"), "no number 77"),
        (("rows", "shop"), "Name the table"),
        (("rows", "shop", "orders", "--renamed", "x"), "--renamed THEN=NOW"),
    ],
)
def test_bad_words_get_a_sentence(shop, tmp_path, words, message) -> None:
    with pytest.raises(CommandError, match=message):
        said(*words, tmp_path=tmp_path)


@each_kind("sqlite")
def test_a_whole_table_as_it_was(shop, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    shop.do("INSERT INTO orders VALUES (99, 1, 5, 'of today')")
    code, text = alone("table", "shop", "orders", "--apply", tmp_path=tmp_path)
    assert code == 0, text
    rows = shop.ask("SELECT id, note FROM orders WHERE id IN (3, 4, 99) ORDER BY id")
    assert rows == [(3, "it's 3%"), (4, "it's 4%")]
