"""docs/commands.md names every act and option of the commands of this app, and its examples can be called."""

import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import load_command_class

DOCS = Path(settings.BASE_DIR) / "docs"
TEXT = (DOCS / "commands.md").read_text()
EVERYWHERE = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color",
              "--force-color", "--skip-checks"}  # fmt: skip
EXAMPLES = [
    line.split("#")[0].split("||")[0].strip()
    for page in (DOCS / "commands.md", DOCS / "restore.md")
    for line in page.read_text().splitlines()
    if re.match(r"\./manage\.py (backup|recover) ", line)
]


def parser_of(name: str) -> ArgumentParser:
    return load_command_class("backups", name).create_parser("manage.py", name)


def acts(name: str) -> dict[str, ArgumentParser]:
    actions = parser_of(name)._actions
    return next(action.choices for action in actions if isinstance(action, _SubParsersAction))


ACTS = [(name, act) for name in ("backup", "recover") for act in acts(name)]


@pytest.mark.parametrize(("name", "act"), ACTS)
def test_every_act_and_option_is_documented(name: str, act: str) -> None:
    assert f"`{name} {act}" in TEXT
    assert f"./manage.py {name} {act} " in TEXT
    restore = (DOCS / "restore.md").read_text()
    options = {
        option
        for action in acts(name)[act]._actions
        for option in action.option_strings
        if option[:2] == "--"
    }
    missing = {option for option in options - EVERYWHERE if option not in TEXT and option not in restore}
    assert missing == set()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_can_be_called(example: str) -> None:
    _program, name, *words = shlex.split(example)
    assert parser_of(name).parse_args(words)
    assert len(EXAMPLES) > 12


def test_what_is_pinned_is_named_itself() -> None:
    """`backup pin SYSTEM` is refused: the newest set of a system is another one tomorrow."""
    pins = [shlex.split(example)[3] for example in EXAMPLES if re.search(r" (un)?pin ", example)]
    assert len(pins) >= 2 and all(re.fullmatch(r"\w+/\d{8}T\d{6}Z-\w{8}-a\d", name) for name in pins)
