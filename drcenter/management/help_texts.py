"""The whole help of a command in the language of the shell: descriptions, options, examples, argparse's own words.

Commands write their help in English. Here it is said again, piece by piece, so that examples can come and go
without a page of help being translated anew. `texts()` gives the pieces to the collector of the catalogue.
"""

import re
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Iterator
from textwrap import fill
from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

APPS = ("drcenter", "backups", "integrations", "billing_snapshots", "incidents")
WIDTH = 110
# "  manage.py backup run shop     what it does": the command stays, what follows the gap is said.
EXAMPLE = re.compile(r"^(\s+\S.*?)(?:(\s{2,})(\S.*))?$")
Say = Callable[[str], str]


def ours() -> list[str]:
    """The names of the product's commands."""
    return sorted(name for name, app in get_commands().items() if str(app).partition(".")[0] in APPS)


def texts() -> Iterator[str]:
    """Every piece of help of every command, once."""
    found: dict[str, None] = {}
    for name in ours():
        parser = load_command_class(str(get_commands()[name]), name).create_parser("manage.py", name)
        spoken(parser, lambda text: found.setdefault(text) or text)
    yield from found


def in_words(command: BaseCommand, say: Say) -> BaseCommand:
    """`command`, whose parser says its help with `say`."""
    create = command.create_parser

    def create_parser(*args: Any, **options: Any) -> ArgumentParser:
        return spoken(create(*args, **options), say)

    command.create_parser = create_parser  # type: ignore[method-assign, assignment]
    return command


def spoken(parser: ArgumentParser, say: Say) -> ArgumentParser:
    """`parser`, and those of its acts, with every text as `say` gives it."""
    if parser.description:
        parser.description = say(str(parser.description))
    if parser.epilog:
        parser.epilog = "\n".join(_epilog(str(parser.epilog).split("\n"), say))
    for group in parser._action_groups:
        group.title = say(group.title) if group.title else group.title
    for action in parser._actions:
        if action.help and action.help != SUPPRESS:
            action.help = say(str(action.help))
        if isinstance(action, _SubParsersAction):
            for choice in action._choices_actions:
                choice.help = say(choice.help) if choice.help else choice.help
            for below in dict.fromkeys(action.choices.values()):
                spoken(below, say)
    return parser


def _epilog(lines: Iterable[str], say: Say) -> Iterator[str]:
    """Examples line by line; sentences, which are not indented, paragraph by paragraph."""
    sentence: list[str] = []
    for line in [*lines, ""]:
        if line and not line[0].isspace():
            sentence.append(line)
            continue
        if sentence:
            yield _paragraph(sentence, say)
            sentence = []
        yield _example(line, say)


def _paragraph(lines: list[str], say: Say) -> str:
    before = " ".join(lines)
    after = say(before)
    return "\n".join(lines) if after == before else fill(after, WIDTH)


def _example(line: str, say: Say) -> str:
    match = EXAMPLE.match(line)
    if match is None or match[3] is None:
        return line
    return f"{match[1]}{match[2]}{say(match[3])}"
