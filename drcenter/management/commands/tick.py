"""What happens regularly."""

import signal
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from backups.storage import generation
from drcenter.jobs.ticks import EVERY, run_all
from drcenter.management.output import one_stream


class Command(BaseCommand):
    help = "Run everything that is due once, or every 15 seconds with --loop."
    # manage.py run has checked the project before it starts this.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM")

    def handle(self, *args: Any, **options: Any) -> None:
        # Before anything is taken for lost: a database that was put back calls running what ended long ago.
        generation.begin()
        if not options["loop"]:
            run_all()
            return
        one_stream()
        self._loop()

    def _loop(self) -> None:
        asked = False

        def ask(number: int, frame: FrameType | None) -> None:
            nonlocal asked
            asked = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)
        while not asked:
            began = time.monotonic()
            run_all(lambda: asked)
            while not asked and time.monotonic() - began < EVERY:
                time.sleep(0.2)
