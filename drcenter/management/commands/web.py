"""The panel under gunicorn."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.core.wsgi import get_wsgi_application
from django.db import connections
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from drcenter import process_tree
from drcenter.management.output import one_stream


class Panel(BaseApplication):  # type: ignore[misc]
    """gunicorn with our options. Threads, since most requests wait for a database; two processes, so that
    one that is stuck leaves the other."""

    def __init__(self, bind: str) -> None:
        self.options = {
            "bind": bind,
            "workers": 2,
            "worker_class": "gthread",
            "threads": 8,
            "timeout": 60,
            "graceful_timeout": 5,
            "preload_app": True,
            "max_requests": 5000,
            "max_requests_jitter": 500,
            "loglevel": "warning",
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        application = get_wsgi_application()
        # Connections do not survive the fork of the workers.
        connections.close_all()
        return application


class Command(BaseCommand):
    help = "Serve the panel."
    # manage.py run has checked the project before it starts this.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default=settings.BIND, help="address (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        one_stream()
        process_tree.forks_end_with_us()
        Panel(options["bind"]).run()
