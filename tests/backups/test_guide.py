"""The texts inside a set; what they do on a bare machine is in tests/live/test_restore_script.py."""

import re
import subprocess
from datetime import UTC, datetime

import pytest

from backups import guide
from backups.layout import Manifest, ManifestPart, StoredObject, new_identifier, part_key

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = 'Bob\'s `id` $(touch hacked); "x" \\ *a*\n#PARTS# | <b>'
SOURCES = [
    ("accounts", "shop-db", "mariadb", "database", "sql"),
    ("database", "shop-db", "mariadb", "database", "sql"),
    ("globals", "warehouse", "postgresql", "database", "sql"),
    ("tree", "uploads", "files", "storage", "tar"),
    ("database", "sessions", "sqlite", "configuration", "sqlite3"),
]


def manifest(*, encrypted: bool = True, **changes) -> Manifest:
    ending = ".age" if encrypted else ""
    parts = tuple(
        ManifestPart(
            order, name, part_key(order, source, name, suffix, encrypted=encrypted), source, engine, tier, suffix,
            5 << 30, 1 << 20, "a" * 64,
        )
        for order, (name, source, engine, tier, suffix) in enumerate(SOURCES, 1)
    )  # fmt: skip
    values = {
        "system": "shop", "system_name": "Webshop", "identifier": new_identifier(MOMENT, 1), "attempt": 1,
        "plan": "daily", "reason": "schedule", "started_at": MOMENT, "moment": MOMENT, "finished_at": MOMENT,
        "product": "drcenter 1.0", "details": StoredObject(f"details.json.zst{ending}", 10, "b" * 64),
        "parts": parts, "recipients": ("age1first", "age1second") if encrypted else (), "signing_key": "c" * 64,
        "tools": {"shop-db.version": "10.11.6-MariaDB"},
    }  # fmt: skip
    return Manifest(**{**values, **changes})


def run(shell: list[str], text: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*shell, "-s", *words], input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"], ["bash", "--posix"]], ids=" ".join)
def test_names_are_data_in_every_shell(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = guide.script(manifest(system_name=HOSTILE, plan=HOSTILE, reason=HOSTILE))
    done = run(shell, text, "list")
    assert done.returncode == 0 and not done.stderr
    assert 'Bob\'s `id` $(touch hacked); "x" \\ *a* #PARTS# | <b> (shop)' in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_script_has_nothing_that_shellcheck_minds(tmp_path):
    path = tmp_path / "restore.sh"
    path.write_text(guide.script(manifest(system_name=HOSTILE)))
    assert subprocess.run(["dash", "-n", path], check=False).returncode == 0
    checked = subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_list_names_every_part_with_its_size():
    text = run(["dash"], guide.script(manifest()), "list").stdout
    assert "The data are of 2026-01-02 03:04:05 UTC" in text and "days" in text
    assert len(re.findall(r"5120 MiB +1024 KiB", text)) == len(SOURCES)


def test_a_set_that_lacks_something_says_so():
    assert (
        "WARNING: the dump is incomplete" in run(["dash"], guide.script(manifest(capped=True)), "list").stdout
    )
    text = guide.text(manifest(capped=True))
    assert "This set is incomplete" in text and "Dieser Satz ist unvollständig" in text
    assert "incomplete" not in guide.text(manifest())


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_guide_names_this_set_in_both_languages(encrypted):
    text = guide.text(manifest(encrypted=encrypted))
    assert "{{" not in text
    english, german = text.split("\n---\n")
    for half in (english, german):
        for word in (
            "Webshop",
            "2026-01-02 03:04:05 UTC",
            "restore.sh list",
            "openssl pkeyutl -verify",
            "mariadb-client",
        ):
            assert word in half
        assert ("age1second" in half) is encrypted
        assert ("--identity identity.txt" in half) is encrypted
    assert "**Do not run `restore.sh`.**" in english and "Wiederherstellung" in german
    assert ("yes, to" in english) is encrypted and ("**nein**" in german) is not encrypted


def test_the_guide_begins_with_what_the_rest_stands_on():
    commands = re.findall(r"restore\.sh source (\S+) --target (\S+)", guide.text(manifest()))
    assert commands[: len(commands) // 2] == [
        ("sessions", "FILE"), ("shop-db", "DATABASE"), ("warehouse", "DATABASE"), ("uploads", "DIRECTORY"),
    ]  # fmt: skip


def test_names_are_no_markup_in_the_guide():
    text = guide.text(manifest(system_name="a|b *c* [d](e) <script>\n# x"))
    assert r"a\|b \*c\* \[d\](e) \<script\> \# x" in text


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 50, "3072.0 TiB")]
)
def test_sizes(size, shown):
    assert guide.size_text(size) == shown
