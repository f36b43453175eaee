"""What ends a connection never takes with it what has arrived."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backups.logs import archive, lease
from backups.logs.chain import Mark, Position
from backups.logs.marks import Marks
from drcenter.errors import OperationFailed
from tests.backups.logs.streams import make_stream

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 6, 17, 12, tzinfo=UTC)


class DeadServer:
    """It answered a moment ago, and takes no word of what is safe any more."""

    def look(self, through: int) -> None:
        raise OperationFailed("The server does not answer.")


def followed(folder: Path, **state: Any) -> tuple[list[str], pytest.ExceptionInfo[OperationFailed]]:
    """What was stored how often, and what ended the connection."""
    stream = make_stream(folder, **state)
    archiver = archive.Archiver(stream, "w", threading.Event())
    archiver._release = DeadServer()  # type: ignore[assignment]
    stored: list[str] = []

    def grow(marks: Marks) -> bool:
        stored.append("all that has arrived")
        return False

    growth: Any = SimpleNamespace(goes_back=lambda before, mark: False, waits_for=lambda mark: False)
    child: Any = SimpleNamespace(code=None)
    mark = Mark(NOW, Position("000000010000000000000003", 100), NOW)
    with pytest.raises(OperationFailed) as ended:
        archiver._follow(stream, child, lambda: mark, grow, growth)
    archiver._couriers.end(5)
    return stored, ended


def test_a_server_that_dies_when_it_is_told_what_is_safe(tmp_path: Path) -> None:
    """Between the last storing and that word, more has arrived, and a synchronous server has acknowledged it."""
    stored, ended = followed(tmp_path)
    assert "does not answer" in str(ended.value)
    assert len(stored) == 2


def test_who_has_lost_the_lease_stores_nothing_more(tmp_path: Path) -> None:
    stored, ended = followed(tmp_path, worker="another")
    assert isinstance(ended.value, lease.LostLease)
    assert len(stored) == 1
