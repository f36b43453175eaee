"""The German catalogue is complete, and what is committed beside it says the same: users have no msgfmt."""

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

FOLDER = Path(settings.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES"
FIELD = re.compile(r'^(msgid|msgid_plural|msgstr|msgstr\[\d\]) (".*")$')
HOLDER = re.compile(r"%\(\w+\)[.\d]*[a-zA-Z]|\{\w*[:.\w]*\}")


def entries() -> list[dict[str, str]]:
    """{msgid, msgid_plural, msgstr…, flags} for each entry but the header."""
    found = []
    for block in (FOLDER / "django.po").read_text(encoding="utf-8").split("\n\n"):
        entry, field = {"flags": ""}, ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry["flags"] += line
            elif match := FIELD.match(line):
                field = match[1]
                entry[field] = ast.literal_eval(match[2])
            elif line.startswith('"'):
                entry[field] += ast.literal_eval(line)
        if entry.get("msgid"):
            found.append(entry)
    return found


def forms(entry: dict[str, str]) -> list[str]:
    return [text for field, text in entry.items() if field.startswith("msgstr")]


def test_every_text_has_its_german_and_none_is_guessed():
    assert len(entries()) > 500
    lacking = [entry["msgid"] for entry in entries() if not all(forms(entry)) or "fuzzy" in entry["flags"]]
    assert not lacking


def test_every_text_is_there_once():
    texts = [entry["msgid"] for entry in entries()]
    assert len(texts) == len(set(texts))


def test_what_is_filled_in_is_filled_in_in_german_too():
    """In a plural form one may be left out: "one file"."""
    for entry in entries():
        for text, said in zip(forms(entry), (entry["msgid"], entry.get("msgid_plural")), strict=False):
            assert set(HOLDER.findall(text)) == set(HOLDER.findall(said)), said


def test_the_compiled_catalogue_is_that_of_the_text():
    with (FOLDER / "django.mo").open("rb") as stream:
        compiled = gettext.GNUTranslations(stream)
    known = compiled._catalog
    for entry in entries():
        if "msgid_plural" in entry:
            assert known[(entry["msgid"], 0)] == entry["msgstr[0]"]
            assert known[(entry["msgid"], 1)] == entry["msgstr[1]"]
        else:
            assert known[entry["msgid"]] == entry["msgstr"], entry["msgid"]
    texts = {key[0] if isinstance(key, tuple) else key for key in known}
    assert texts - {""} == {entry["msgid"] for entry in entries()}


@pytest.mark.parametrize(
    ("english", "german"),
    [("Save", "Speichern"), ("History", "Verlauf"), ("proven", "bewiesen"), ("set", "Satz"), ("Search apps and models...", "Seiten suchen …")],
)  # fmt: skip
def test_our_words_win(english, german):
    with translation.override("de"):
        assert translation.gettext(english) == german


def test_nobody_is_addressed_as_a_friend():
    assert not [
        e["msgid"] for e in entries() for t in forms(e) if re.search(r"\b([Dd]u|[Dd]ein\w*|[Dd]ich)\b", t)
    ]
