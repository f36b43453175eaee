"""A destination that fails in the middle of a part: the part alone is taken again, a bounded number of times."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from backups.destinations.local import Plugin as Local
from backups.engines import sqlite as sqlite_engine
from backups.models import Level, Plan, Set, Source
from backups.takes import repeating
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Line
from drcenter.jobs.reap import cancel
from tests.backups.taking import channel, nothing_stored, quick, taken, told, wait_for

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]

AWAY = OperationFailed("The store went away.", "Look at its network.")


@pytest.fixture
def failing(monkeypatch):
    """failing(times, name): puts of keys with `name` fail after so many bytes; what was asked for, in order."""

    def failing(times: int, name: str, error: OperationFailed = AWAY, after: int = 100) -> list[str]:
        original, asked = Local.put, []

        def put(self, key, stream, *, expected_size=None):
            asked.append(key)
            if sum(name in one for one in asked) > times or name not in key:
                return original(self, key, stream, expected_size=expected_size)
            stream.read(after)
            raise error

        monkeypatch.setattr(Local, "put", put)
        return asked

    return failing


@pytest.mark.parametrize("times", [1, 2])
def test_the_part_alone_is_taken_again(plan: Plan, failing, times: int) -> None:
    Plan.objects.update(level=Level.PROVEN)
    asked = failing(times, "02-uploads")
    one = taken(plan)
    assert (one.state, one.level, one.capped) == (Set.State.COMPLETE, Level.PROVEN, False), one.message
    parts = [key.rpartition("/")[2] for key in asked if "/parts/" in key]
    assert [name[:10] for name in parts] == ["01-databas", *["02-uploads"] * (times + 1)]
    [finding] = [found for found in one.findings if "was taken" in found["message"]]
    assert (
        f"was taken {times + 1} times" in finding["message"] and "The store went away." in finding["message"]
    )
    assert Line.objects.filter(text__contains="the part alone is taken again").count() == times
    assert told()[-1][0] == "warning"


def test_not_without_end(plan: Plan, failing, destination) -> None:
    asked = failing(99, "01-database")
    one = taken(plan)
    assert (one.state, one.message) == (Set.State.FAILED, "The store went away.")
    assert len(asked) == 3
    assert nothing_stored(destination)


def test_not_where_it_makes_no_sense(plan: Plan, failing) -> None:
    asked = failing(99, "01-database", OperationFailed("The credentials were revoked.", permanent=True))
    assert taken(plan).state == Set.State.FAILED
    assert len(asked) == 1


def test_not_when_the_dump_itself_failed(plan: Plan, monkeypatch) -> None:
    calls = []

    def blocks(self):
        calls.append(1)
        yield b"x" * 4096
        raise OperationFailed("The server went away.")

    monkeypatch.setattr(sqlite_engine._Copy, "_blocks", blocks)
    assert taken(plan).message == "The server went away."
    assert len(calls) == 1


def test_not_what_would_be_of_another_moment(plan: Plan, failing, system, destination) -> None:
    """The output of a command: running it again may do something again."""
    options = {"argv": ["echo", "of this moment"]}
    source = Source.objects.create(
        system=system, name="words", engine="command", tier="metadata", options=options
    )
    plan.sources.set([source])
    asked = failing(1, "01-words")
    assert taken(plan).message == "The store went away."
    assert len(asked) == 1 and nothing_stored(destination)


def test_it_is_of_the_same_moment(plan: Plan, database: Source, failing, monkeypatch) -> None:
    """What is written while the destination is away is not in the part, and the proof is equal."""
    Plan.objects.update(level=Level.PROVEN)
    path = Path(database.options["path"])
    before = repeating._wait

    def wait(taking, seconds):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO orders (total) VALUES ('later')")
        before(taking, seconds)

    monkeypatch.setattr(repeating, "_wait", wait)
    failing(1, "01-database")
    one = taken(plan)
    assert (one.level, one.level_reason) == (Level.PROVEN, "")


def test_a_wish_to_stop_is_heard_while_it_waits(plan: Plan, failing, monkeypatch, destination) -> None:
    monkeypatch.setattr(repeating, "PAUSES", (60,))
    original = repeating._wait

    def wait(taking, seconds):
        cancel(taking.context.job, "anna")
        wait_for(lambda: taking.context.cancelled)
        original(taking, seconds)

    monkeypatch.setattr(repeating, "_wait", wait)
    failing(1, "01-database")
    began = time.monotonic()
    assert taken(plan).state == Set.State.CANCELLED
    assert time.monotonic() - began < 30
    assert nothing_stored(destination)
