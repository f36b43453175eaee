"""The trail speaks the reader's language, and no action of the code was forgotten."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import translation

from drcenter.audit.models import Entry, Result
from drcenter.audit.record import record
from drcenter.audit.words import action_in_words, fact_in_words

ROOT = Path(settings.BASE_DIR)
CALL = re.compile(r'\b(?:record|audit)\(\s*[^"()]*(?:\([^()]*\)[^"()]*)?"([a-z_]+(?:\.[a-z_]+)+)"')
BY_NAME = re.compile(r"\b(?:record|audit)\(\s*[^,()]+,\s*([A-Z_]+)\b")
ACT = re.compile(r'^    action = "([a-z_.]+)"$', re.MULTILINE)
PACKAGES = ("drcenter", "backups", "integrations", "billing_snapshots", "incidents")


def actions_of_the_code() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            found |= {*CALL.findall(text), *ACT.findall(text)}
            for constant in BY_NAME.findall(text):
                found |= set(re.findall(rf'^{constant} = "([a-z_.]+)"', text, re.MULTILINE))
    return found


def test_every_action_of_the_code_has_its_words():
    found = actions_of_the_code()
    assert {
        "backups.take.requested",
        "signin.reset",
        "backups.key.made",
        "backups.overdue",
        "source.look",
    } <= found
    assert [name for name in sorted(found) if action_in_words(name) == name] == [], (
        "drcenter/audit/words.py lacks them"
    )


@pytest.mark.parametrize(
    ("action", "english", "german"),
    [
        ("backups.take.requested", "backup requested", "Sicherung beauftragt"),
        ("backups.set.deleted", "set deleted", "Satz gelöscht"),
        ("systems.system.changed", "system changed", "System geändert"),
        ("of.another.version", "of.another.version", "of.another.version"),
    ],
)
def test_an_action_in_words(action, english, german):
    assert action_in_words(action) == english
    with translation.override("de"):
        assert action_in_words(action) == german
        assert fact_in_words("typed") == "eingegeben" and fact_in_words("some_thing") == "some thing"


def test_the_page_and_the_list_say_it_in_german(as_admin, taken):
    with transaction.atomic():
        entry = record(
            "ada", "backups.take.completed", taken, result=Result.DONE, parts=2, sources=["a", "b"]
        )
    pages = [f"/admin/audit/entry/{entry.pk}/change/", "/admin/audit/entry/"]
    for page in pages:
        text = as_admin.get(page, headers={"Accept-Language": "de"}).content.decode()
        assert "Sicherung abgeschlossen" in text and "backup completed" not in text
    assert "a, b" in as_admin.get(pages[0]).content.decode()
    assert Entry.objects.get().action == "backups.take.completed"
