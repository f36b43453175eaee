"""Taking and verifying with real jobs, and what may never appear anywhere."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from backups import verify
from backups.models import Copy, Destination, Plan, Set, Verification
from backups.storage import layout
from backups.takes import repeating, take
from drcenter import process_tree
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job
from drcenter.jobs.reap import cancel
from drcenter.jobs.work import run_job
from drcenter.notify.models import Channel, Delivery
from drcenter.secrets import Secret


@pytest.fixture
def quick(monkeypatch):
    """The clock of the tests: heartbeats as in production, only sooner."""
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)
    monkeypatch.setattr(repeating, "PAUSES", (0.01, 0.02))


@pytest.fixture
def channel(db, monkeypatch):
    """A channel that hears of everything; its deliveries are looked at, not sent."""
    monkeypatch.setenv("TEST_CHANNEL", "json://127.0.0.1:9/never")
    return Channel.objects.create(name="ops", url="env:TEST_CHANNEL", on_success=True)


def taken(plan: Plan, **fields: Any) -> Set:
    """Ask for a set and let the job run here; the row afterwards."""
    wanted = take.request(plan, requested_by="anna", **fields)
    run_job(wanted.job_id)
    return Set.objects.get(pk=wanted.pk)


def good(plan: Plan) -> Set:
    one = taken(plan)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    assert (one.level, one.level_reason) == (plan.level, "")
    return one


def verified(copy: Copy, level: str, identity: str | None = None) -> Verification:
    wanted = verify.request(
        copy, level, requested_by="vera", identity=Secret(identity) if identity is not None else None
    )
    run_job(wanted.job_id)
    return Verification.objects.get(pk=wanted.pk)


def root(destination: Destination) -> Path:
    return Path(destination.options["path"])


def sets_in(destination: Destination) -> list[layout.Found]:
    """What counts as a set at the destination."""
    keys = (stored.key for stored in destination.build().list(""))
    return [found for found in layout.find_sets(keys) if found.complete]


def objects_in(destination: Destination) -> list[str]:
    return [stored.key for stored in destination.build().list("")]


def nothing_stored(destination: Destination) -> bool:
    """Neither objects nor unfinished files of any attempt."""
    files = [path.name for path in root(destination).rglob("*") if path.is_file()]
    return [name for name in files if not name.endswith("-destination")] == []


def told() -> list[tuple[str, str]]:
    """(event, title and text) of everything that channels were told."""
    return [(one.event, f"{one.title}\n{one.body}") for one in Delivery.objects.order_by("pk")]


def everything_written() -> str:
    """Every row of every table, as text."""
    texts = []
    for model in apps.get_models(include_auto_created=True):
        texts += [json.dumps(row, default=str) for row in model.objects.values()]
    return "\n".join(texts)


def assert_secret(secret: str, *, logs: str = "", places: Iterator[Path] | list[Path] = ()) -> None:
    """The secret is in no row, no log, and no file below `places`."""
    assert secret not in everything_written()
    assert secret not in logs
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


@contextmanager
def watched_processes(secret: str) -> Iterator[list[str]]:
    """Looks at the command line and the environment of every child while inside; yields where it was seen."""
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            for process in process_tree.descendants(os.getpid()):
                for name in ("cmdline", "environ"):
                    try:
                        content = Path(f"/proc/{process}/{name}").read_bytes()
                    except OSError:
                        continue
                    if secret.encode() in content:
                        seen.append(f"{name} of {content[:80]!r}")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def wait_for(condition: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def job_of(one: Set) -> Job:
    return Job.objects.get(pk=one.job_id)


def stop_in(patch, phase: str, act=None) -> None:
    """Cancel the job as soon as it says that it is in `phase`, and wait until it knows."""
    original = JobContext.phase

    def noticed(self, name, *args, **kwargs):
        original(self, name, *args, **kwargs)
        if str(name) == phase:
            if act is not None:
                return act(self)
            cancel(self.job, "anna")
            assert self._stopped.wait(5)
        return None

    patch.setattr(JobContext, "phase", noticed)
