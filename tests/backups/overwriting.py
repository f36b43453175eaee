"""What the tests of a restore over production look at and break."""

from backups.engines import sqlite as sqlite_engine
from backups.models import Recovery
from drcenter.errors import OperationFailed

ALL = ["stop-web", "stop-workers", "clear-cache", "start-workers", "start-web"]


UNDONE = ["stop-web", "stop-workers", "start-workers", "start-web"]


def steps(recovery: Recovery) -> list[tuple[str, bool]]:
    return [(step["step"], step["ok"]) for step in recovery.steps]


def failing(monkeypatch, name: str, engine=sqlite_engine, error: BaseException | None = None, times: int = 1):
    """Let a method of the engine fail so many times, after it has done its work; the list of its calls."""
    original, calls = getattr(engine.Plugin, name), []

    def method(self, *args, **kwargs):
        calls.append(self.target)
        result = original(self, *args, **kwargs)
        if len(calls) <= times:
            raise error or OperationFailed("The server went away.", "Look at its log.")
        return result

    monkeypatch.setattr(engine.Plugin, name, method)
    return calls
