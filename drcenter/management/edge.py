"""The edge of `manage.py`: in which language it speaks, and what it says when the panel's database is not ready."""

import os
import sys
from collections.abc import Mapping

from django.conf import settings
from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import translation
from django.utils.translation import gettext as _

from drcenter.management import help_texts

FAILED = 1
# Where a shell says its language, the strongest first (POSIX).
PLACES = ("LC_ALL", "LC_MESSAGES", "LANG")
# Their logs have no reader of their own: they speak DRC_LANGUAGE.
SERVICES = ("run", "web", "work", "tick")


class Shell(ManagementUtility):
    """Django's, with the help of our commands in the language of the shell."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        command = super().fetch_command(subcommand)
        if subcommand not in help_texts.ours():
            return command
        if subcommand not in SERVICES:
            translation.activate(language())
        return help_texts.in_words(command, _)


def language(environ: Mapping[str, str] = os.environ) -> str:
    """DRC_LANGUAGE where it is set; else what the shell speaks, if there is a catalogue of it; else English."""
    known = dict(settings.LANGUAGES)
    if "DRC_LANGUAGE" in environ:
        return settings.LANGUAGE_CODE
    said = next((environ[place] for place in PLACES if environ.get(place)), "")
    wanted = said.partition(".")[0].partition("_")[0].lower()
    return wanted if wanted in known else settings.LANGUAGE_CODE


def main(words: list[str]) -> None:
    """Run the command. A database that is not prepared, or away, is a sentence and the exit code 1."""
    try:
        Shell(words).execute()
    except DatabaseError as error:
        sentence = _reason(error) if _ours(words) and "--traceback" not in words else ""
        if not sentence:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(FAILED)


def _ours(words: list[str]) -> bool:
    """Django's own commands, such as migrate, tell their errors themselves."""
    return len(words) > 1 and words[1] in help_texts.ours()


def _reason(error: DatabaseError) -> str:
    """ "" when the database is there and up to date: then the error is a fault of ours."""
    try:
        connection.close()
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return _("The panel's database cannot be reached: %(error)s") % {"error": str(error).strip()}
    return _("The panel's database is not prepared: run manage.py migrate first.") if waiting else ""
