"""Rows of a log stream; nothing of this touches a server."""

from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from backups.models import LogStream, Source
from tests.backups.planning import make_plan


def make_stream(folder: Path, **fields) -> LogStream:
    """One that runs well, of a source whose server does not exist."""
    plan = make_plan(folder)
    options = {"host": "127.0.0.1", "port": 1, "user": "u", "database": "shop"}
    source = Source.objects.create(
        system=plan.system, name="database", engine="mariadb", tier="database", options=options
    )
    plan.sources.add(source)
    now = timezone.now()
    given = {
        "state": LogStream.State.RUNNING, "worker": "w", "heartbeat_at": now, "safe_at": now, "stored_until": now,
        "changed_at": now - timedelta(hours=1),
    }  # fmt: skip
    return LogStream.objects.create(source=source, plan=plan, **given | fields)
