"""Archives the logs of database servers, all the time."""

import signal
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backups.logs.serve import serve
from backups.models import LogStream
from drcenter.management.output import one_stream

EPILOG = """
  manage.py archive-logs                every stream that is switched on (manage.py run does this)
  manage.py archive-logs --stream 3     one of them, on another machine with the same database, for example

Only one archiver at a time works for a stream; another one waits. Ctrl-C or SIGTERM: what has arrived is
brought away first, up to 10 s. Exit codes: 0 stopped, 1 there is no such stream.
"""


class Command(BaseCommand):
    help = "Archive the binary logs and WAL of database servers continuously, until SIGTERM."
    # manage.py run has checked the project before it starts this.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--stream", type=int, metavar="N", help="this stream alone, by its number")

    def handle(self, *args: Any, stream: int | None = None, **options: Any) -> None:
        if stream is not None and not LogStream.objects.filter(pk=stream).exists():
            raise CommandError(f"There is no log stream {stream}. The panel lists them, with their numbers.")
        one_stream()
        stop = threading.Event()

        def ask(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)
        serve(stop, stream)
