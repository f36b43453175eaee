"""The help of every command is in the language of the shell, as a whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from drcenter.management import help_texts
from drcenter.management.edge import language

# The same word in both languages.
SAME = {"PORT"}


def test_every_piece_has_its_german():
    with translation.override("en"):
        pieces = list(help_texts.texts())
    assert len(pieces) > 100
    with translation.override("de"):
        lacking = [piece for piece in pieces if translation.gettext(piece) == piece and piece not in SAME]
    assert lacking == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "de_AT"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "DRC_LANGUAGE": "en"}, "en"),
    ],
)
def test_which_language_the_shell_speaks(environment, expected):
    assert language(environment) == expected


@pytest.mark.parametrize("words", [["help", "backup"], ["backup", "--help"], ["backup", "verify", "--help"]])
def test_the_shell_helps_in_german(words, tmp_path):
    environment = {"PATH": os.environ["PATH"], "DRC_STATE": str(tmp_path), "LANG": "de_DE.UTF-8"}
    manage = Path(settings.BASE_DIR) / "manage.py"
    told = subprocess.run(
        [sys.executable, str(manage), *words], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "Rückgabewerte: 0 in Ordnung" in told and "die Arbeiter um einen Satz" in told
    assert "manage.py backup run shop --here" in told
    for english in ("Exit codes", "show this help", "options:", "needs attention", "Verbosity"):
        assert english not in told


def test_an_epilog_keeps_its_lines_where_nothing_is_said_otherwise():
    parser = help_texts.spoken(help_texts.ArgumentParser(epilog="\n  a b   c d\n  e f\n\nOne\ntwo."), str)
    assert parser.epilog == "\n  a b   c d\n  e f\n\nOne\ntwo.\n"
