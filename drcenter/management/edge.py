"""What `manage.py` says when the panel's database is not ready for a command of ours."""

import sys

from django.core.management import execute_from_command_line, get_commands
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

FAILED = 1


def main(words: list[str]) -> None:
    """Run the command. A database that is not prepared, or away, is a sentence and the exit code 1."""
    try:
        execute_from_command_line(words)
    except DatabaseError as error:
        sentence = _reason(error) if _ours(words) and "--traceback" not in words else ""
        if not sentence:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(FAILED)


def _ours(words: list[str]) -> bool:
    """Django's own commands, such as migrate, tell their errors themselves."""
    app = get_commands().get(words[1], "") if len(words) > 1 else ""
    return isinstance(app, str) and app.partition(".")[0] in {
        "drcenter", "backups", "integrations", "billing_snapshots", "incidents",
    }  # fmt: skip


def _reason(error: DatabaseError) -> str:
    """ "" when the database is there and up to date: then the error is a fault of ours."""
    try:
        connection.close()
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return _("The panel's database cannot be reached: %(error)s") % {"error": str(error).strip()}
    return _("The panel's database is not prepared: run manage.py migrate first.") if waiting else ""
