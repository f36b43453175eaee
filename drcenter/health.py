"""Whether this installation can do its work: for load balancers, service managers and operators."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from drcenter.jobs.models import Pulse
from drcenter.jobs.pulse import TICKS, silent

WARN_PERCENT = 85
FULL_PERCENT = 97
# Four rounds of ticks (drcenter.jobs.ticks).
TICKS_LATE_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """`ok` False: the installation cannot do its work. `attention`: it can, but somebody should look."""

    name: str
    ok: bool
    message: str
    attention: bool = False


def checks() -> list[Check]:
    """All checks, the database's first; without a database those that need it are left out."""
    found = [_database()]
    acts: list[Callable[[], Check]] = [_state, _disk]
    if found[0].ok:
        acts = [_migrations, _workers, *acts]
    for act in acts:
        try:
            found.append(act())
        except DatabaseError as error:
            found.append(Check("database", False, str(error).strip()))
    return found


def _database() -> Check:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Check("database", False, _("It cannot be reached: %(error)s") % {"error": str(error).strip()})
    return Check("database", True, connection.vendor)


def _migrations() -> Check:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        return Check(
            "migrations", False, _("%(count)d are waiting: manage.py migrate") % {"count": len(waiting)}
        )
    return Check("migrations", True, _("all applied"))


def _workers() -> Check:
    now = timezone.now()
    quiet = silent(now)
    if not quiet:
        return _ticking(now)
    if TICKS in quiet:
        return Check("workers", False, _("Nothing has looked for due work for minutes: start manage.py run."))
    names = ", ".join(quiet)
    return Check(
        "workers", False, _("No answer for minutes: %(names)s. Restart manage.py run.") % {"names": names}
    )


def _ticking(now: datetime) -> Check:
    """The ticks come every few seconds: their age shows first that everything has stopped."""
    looked = Pulse.objects.filter(cluster=TICKS).values_list("seen_at", flat=True).first()
    age = int(abs((now - looked).total_seconds())) if looked else 0
    if age <= TICKS_LATE_SECONDS:
        return Check("workers", True, _("they answer"))
    text = _("Nothing has looked for due work for %(seconds)d s: is manage.py run still running?")
    return Check("workers", True, text % {"seconds": age}, attention=True)


def _state() -> Check:
    try:
        with tempfile.TemporaryFile(dir=settings.STATE_DIR) as file:
            file.write(b"x")
    except OSError as error:
        reason = {"path": settings.STATE_DIR, "error": error.strerror}
        return Check("state directory", False, _("%(path)s cannot be written: %(error)s") % reason)
    return Check("state directory", True, str(settings.STATE_DIR))


def _disk() -> Check:
    usage = shutil.disk_usage(settings.STATE_DIR)
    percent = 100 - usage.free * 100 // usage.total
    text = _("%(percent)d %% used, %(free)d MiB free") % {"percent": percent, "free": usage.free >> 20}
    return Check("disk", percent < FULL_PERCENT, text, attention=percent >= WARN_PERCENT)


def as_json(found: list[Check]) -> dict[str, Any]:
    return {
        "ok": all(check.ok for check in found),
        "attention": any(check.attention for check in found),
        "checks": [asdict(check) for check in found],
    }


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is looked at, so that an outage elsewhere does not get it restarted."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when it can do its work, otherwise 503. Reasons for whoever asks from this machine or with a session;
    for others the names of the checks alone."""
    found = as_json(checks())
    if not _may_see_reasons(request):
        found["checks"] = [{"name": check["name"], "ok": check["ok"]} for check in found["checks"]]
    return JsonResponse(found, status=200 if found["ok"] else 503)


def _may_see_reasons(request: HttpRequest) -> bool:
    forwarded = "X-Forwarded-For" in request.headers
    return request.META.get("REMOTE_ADDR") in {"127.0.0.1", "::1", "", None} and not forwarded


def process_facts() -> dict[str, str]:
    """What an operator tells when asking for help."""
    import platform

    import django

    return {
        "python": platform.python_version(),
        "django": django.get_version(),
        "system": platform.platform(),
        "user": str(os.geteuid()),
    }
