"""One cluster of workers."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from drcenter.jobs import cluster as jobs_cluster
from drcenter.jobs.pulse import CLUSTERS
from drcenter.management.output import one_stream


class Command(BaseCommand):
    help = "Run the workers of one queue: short (messages, ticks) or long (backups, restores)."
    # manage.py run has checked the project before it starts this.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", choices=CLUSTERS)

    def handle(self, *args: Any, cluster: str, **options: Any) -> None:
        if os.environ.get("Q_CLUSTER_NAME") != cluster:
            # django-q2 reads the name once, when it is imported: start again with it in the environment.
            os.environ["Q_CLUSTER_NAME"] = cluster
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same process goes on
        one_stream()
        sys.exit(jobs_cluster.run())
