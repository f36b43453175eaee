"""Everything that runs all the time, in one process tree."""

import fcntl
import socket
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from backups.storage import generation
from drcenter.management.keeper import keep
from drcenter.management.supervisor import Part, Supervisor

EPILOG = """
  manage.py run                      the panel, the workers, the ticks and the archiver of logs
  manage.py run --bind 0.0.0.0:9000  the panel on another address (or DRC_BIND)
  manage.py run --no-web             workers and ticks alone, the panel runs elsewhere

Ctrl-C or SIGTERM: running jobs stop as "cancelled", waiting ones stay in line, everything ends within
seconds. A second Ctrl-C kills at once. Exit codes: 0 stopped, 1 could not start or something had to be killed.
"""


PUT_BACK = """The database was put back from a backup: what it calls running is closed.
Find what came after it: manage.py backup rebuild-catalog DESTINATION (docs/rebuild.md)"""


class Command(BaseCommand):
    help = "Run the panel, the workers and the ticks; stops all of them on Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument(
            "--bind", default=settings.BIND, help="address of the panel (default: %(default)s)"
        )
        parser.add_argument("--no-web", action="store_true", help="workers and ticks alone")

    def handle(self, *args: Any, **options: Any) -> None:
        bind = None if options["no_web"] else options["bind"]
        _refuse_unready(bind)
        if generation.begin():
            self.stdout.write(PUT_BACK)
        # Connections do not survive a fork.
        connections.close_all()
        with _only_one():
            sys.exit(keep(lambda: _supervise(bind)))


def _supervise(bind: str | None) -> int:
    where = f" at http://{bind}" if bind else " without the panel"
    return Supervisor(parts(bind), f"The DR Center runs{where}. Ctrl-C stops it.").run()


def parts(bind: str | None) -> list[Part]:
    """What is started: the panel unless `bind` is None, a cluster of workers for each queue, the ticks, the archiver
    of logs."""
    manage = (sys.executable, str(Path(settings.BASE_DIR) / "manage.py"))
    env = {"PYTHONUNBUFFERED": "1"}
    found = [
        Part(cluster, (*manage, "work", cluster), env | {"Q_CLUSTER_NAME": cluster})
        for cluster in ("short", "long")
    ]
    found.append(Part("ticks", (*manage, "tick", "--loop"), env, grace=10))
    found.append(Part("logs", (*manage, "archive-logs"), env, grace=20))
    if bind:
        found.insert(0, Part("web", (*manage, "web", "--bind", bind), env, grace=10))
    return found


def _refuse_unready(bind: str | None) -> None:
    try:
        executor = MigrationExecutor(connections["default"])
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise CommandError(f"The panel's database cannot be reached: {error}") from error
    if waiting:
        raise CommandError("The database is not up to date. Run: manage.py migrate")
    if bind:
        _refuse_taken(bind)


def _refuse_taken(bind: str) -> None:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdigit():
        return  # A socket file: the panel itself says what is wrong with it.
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as error:
        reason = f"The panel cannot listen on {bind}: {error.strerror or error}."
        raise CommandError(f"{reason} Choose another address: --bind HOST:PORT") from error


def _only_one() -> IO[str]:
    """A lock on the state directory. Two supervisors would do no harm to data, but nobody wants them."""
    lock = (Path(settings.STATE_DIR) / "run.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandError("Another manage.py run uses this state directory already.") from None
    return lock
