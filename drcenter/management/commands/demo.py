"""Everything on this machine, with sample systems."""

import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from drcenter.errors import OperationFailed
from drcenter.management.demo.story import tell

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EPILOG = """
  manage.py demo              build, back up, prove, then serve the panel until Ctrl-C
  manage.py demo --check      the same, visit the panel's pages, then stop everything
  manage.py demo --port 9000  the panel on another port

Everything is kept in DRC_STATE, and used again the next time. No server of this machine is touched.
Exit codes: 0 stopped, or all of it worked; 1 something did not work.
"""


class Command(BaseCommand):
    help = "Show everything on this machine: three sample systems, backed up, proven, in the panel."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--check", action="store_true", help="try all of it, then stop")
        parser.add_argument("--port", type=int, default=8000, help="port of the panel (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        for number in STOPPING:
            signal.signal(number, _interrupt)
        try:
            tell(self._write, options["port"], check=options["check"])
        except KeyboardInterrupt:
            if options["check"]:
                sys.exit(1)
        except OperationFailed as error:
            raise CommandError(str(error)) from None

    def _write(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C does, once: a second signal does not cut the stopping short."""
    for other in STOPPING:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
