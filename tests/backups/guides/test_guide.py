"""The texts inside a set; what they do on a bare machine is in tests/live/test_restore_script.py."""

import dataclasses
import re
import subprocess
from datetime import UTC, datetime

import pytest

from backups.guides import guide, restore_script
from backups.guides import guide_words as words
from backups.storage.layout import Manifest, ManifestPart, StoredObject, new_identifier, part_key
from backups.storage.references import refer

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
    text = restore_script.script(manifest(system_name=HOSTILE, plan=HOSTILE, reason=HOSTILE))
    done = run(shell, text, "list")
    assert done.returncode == 0 and not done.stderr
    assert 'Bob\'s `id` $(touch hacked); "x" \\ *a* #PARTS# | <b> (shop)' in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_script_has_nothing_that_shellcheck_minds(tmp_path):
    path = tmp_path / "restore.sh"
    path.write_text(restore_script.script(manifest(system_name=HOSTILE)))
    assert subprocess.run(["dash", "-n", path], check=False).returncode == 0
    checked = subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_list_names_every_part_with_its_size():
    text = run(["dash"], restore_script.script(manifest()), "list").stdout
    assert "The data are of 2026-01-02 03:04:05 UTC" in text and "days" in text
    assert len(re.findall(r"5120 MiB +1024 KiB", text)) == len(SOURCES)


def test_a_set_that_lacks_something_says_so():
    assert (
        "WARNING: the dump is incomplete"
        in run(["dash"], restore_script.script(manifest(capped=True)), "list").stdout
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
    commands = re.findall(r"restore\.sh source (\S+) --identity identity.txt", guide.text(manifest()))
    assert commands == ["sessions", "shop-db", "warehouse", "uploads"] * 2


def test_the_order_of_a_bare_machine_and_what_is_missing():
    """Twelve tiers in any order: each has its numbered step, in the order of the restore; of four the rest is named."""
    tiers = [*words.TIERS["en"]]
    parts = tuple(
        dataclasses.replace(manifest().parts[0], order=order, tier=tier, source=tier, engine="files",
                            key=part_key(order, tier, "tree", "tar", encrypted=True))
        for order, tier in enumerate(tiers, 1)
    )  # fmt: skip
    english, german = guide.text(manifest(parts=parts)).split("\n---\n")
    steps = re.findall(r"^### 5\.\d+ (.*)$", english, re.MULTILINE)
    assert [step.lower() for step in steps] == [words.TIERS["en"][tier] for tier in restore_script.ORDER]
    assert len(re.findall(r"^### 5\.\d+ ", german, re.MULTILINE)) == 12
    assert "nothing: all twelve tiers are in it" in english
    assert "apt-get install $(cat restored/information/packages-by-hand.txt)" in german
    assert "| **Not in it** | application code, documentation, external services," in guide.text(manifest())
    assert "| **Nicht darin** | Anwendungscode, Dokumentation, externe Dienste," in guide.text(manifest())


def test_the_words_are_there_in_both_languages():
    for name, value in vars(words).items():
        if name.isupper():
            assert set(value) == {"en", "de"}, name
            if isinstance(value["en"], dict):
                assert set(value["en"]) == set(value["de"]), name
    assert set(words.TIERS["en"]) == set(restore_script.ORDER)
    assert len(words.FINISH["en"]) == len(words.FINISH["de"])


def test_what_is_known_besides_the_manifest():
    known = guide.Known({"uploads": "/var/www/`x`"}, ("disk", "off|site"), (252.0, 5 << 30))
    english, german = guide.text(manifest(encrypted=False, number=57), known).split("\n---\n")
    for half in (english, german):
        assert "sh restore.sh source uploads     # -> /var/www/ x " in half
        assert r"| disk, off\|site |" in half
        assert "4 min 12 s" in half and "5.0 GiB" in half
    assert "number 57 of this system" in english and "Nummer 57" in german
    assert "no set of this plan was proven" in guide.text(manifest())


def test_the_sets_that_it_needs_are_named():
    """The folder that a person copies alone would not restore."""
    before = new_identifier(MOMENT, 1)
    first = manifest().parts[0]
    parts = (dataclasses.replace(first, key=refer(before, first.key)), *manifest().parts[1:])
    english, german = guide.text(manifest(parts=parts)).split("\n---\n")
    assert "**This set alone does not restore**" in english and f"* `{before}`" in english
    assert "**Dieser Satz allein genügt nicht**" in german and f"* `{before}`" in german
    assert "alone does not" not in guide.text(manifest())
    assert (
        f"beside it: {before}" in run(["dash"], restore_script.script(manifest(parts=parts)), "list").stdout
    )


def test_the_age_is_told_as_people_there_say_it():
    text = guide.text(manifest(time_zone="Europe/Berlin"))
    assert (
        "state of 2026-01-02 04:04:05 Europe/Berlin (2026-01-02 03:04:05 UTC). Whatever was written later is not"
        in text
    )
    for zone in ("", "../../etc/passwd", "/etc/passwd", "Nowhere/Land", "a\0b"):
        assert restore_script.time_text(MOMENT, zone) == "2026-01-02 03:04:05 UTC"


def test_every_command_of_the_guide_is_one_of_the_script():
    """A tired person types what stands there: each subcommand and option is known to this very script."""
    text, usage = guide.text(manifest()), run(["dash"], restore_script.script(manifest()), "help").stdout
    lines = [line for line in text.splitlines() if line.startswith("sh restore.sh")]
    assert len(lines) >= 14
    for line in lines:
        command, *options = line.partition("#")[0].split()[2:]
        assert re.search(rf"restore\.sh [a-z|]*\b{command}\b", usage), line
        assert all(option in usage for option in options if option.startswith("--")), line


def test_names_are_no_markup_in_the_guide():
    text = guide.text(manifest(system_name="a|b *c* [d](e) <script>\n# x"))
    assert r"a\|b \*c\* \[d\](e) \<script\> \# x" in text


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 50, "3072.0 TiB")]
)
def test_sizes(size, shown):
    assert guide.size_text(size) == shown
