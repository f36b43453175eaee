"""Who is told when a stream does not keep its promise, and when a base is asked for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.engines._log_source import LogSource
from backups.engines.mariadb import Plugin as MariaDB
from backups.logs.watch import watch_streams
from backups.models import LogStream, Set
from drcenter.errors import OperationFailed
from tests.backups.logs.streams import make_stream
from tests.backups.planning import make_set
from tests.backups.taking import channel, told

__all__ = ["channel"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("channel")]


def looked(stream: LogStream, times: int = 1, **fields) -> list[str]:
    """What was told so far, titles only, after the row was changed and looked at."""
    LogStream.objects.filter(pk=stream.pk).update(**fields)
    for _time in range(times):
        watch_streams()
    return [f"{event}: {text.partition(chr(10))[0]}" for event, text in told()]


def ago(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


STOPPED = "failure: shop/database: nobody archives the log"
BEHIND = "failure: shop/database: the archive of the log is behind"
BROKEN = "failure: shop/database: the log cannot be archived"
GOOD = "recovered: shop/database: the log is archived in time again"


def test_one_that_runs_is_nothing_to_tell(tmp_path) -> None:
    assert looked(make_stream(tmp_path), 3) == []


def test_told_once_and_once_when_it_is_good_again(tmp_path) -> None:
    stream = make_stream(tmp_path)
    assert looked(stream, safe_at=ago(60)) == [], "it may pass"
    assert looked(stream, 3) == [BEHIND]
    assert looked(stream, 2, safe_at=timezone.now()) == [BEHIND, GOOD]


def test_what_passes_is_not_told(tmp_path) -> None:
    stream = make_stream(tmp_path)
    looked(stream, safe_at=ago(60))
    assert looked(stream, 2, safe_at=timezone.now()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"heartbeat_at": None}, STOPPED),
        ({"heartbeat_at": ago(60)}, STOPPED),
        ({"worker": ""}, STOPPED),
        ({"state": "broken", "message": "The server is gone."}, BROKEN),
        ({"safe_at": ago(11)}, BEHIND),
        ({"safe_at": None}, BEHIND),
    ],
)
def test_faults(tmp_path, fields, expected) -> None:
    assert looked(make_stream(tmp_path), 2, **fields) == [expected]


def test_one_that_was_switched_on_a_moment_ago_or_off(tmp_path) -> None:
    stream = make_stream(tmp_path, worker="", safe_at=None, changed_at=timezone.now())
    assert looked(stream, 2) == []
    assert looked(stream, 2, changed_at=ago(3600)) == [STOPPED]
    assert looked(stream, 2, enabled=False) == [STOPPED], "off is not good again"
    stream.refresh_from_db()
    assert stream.told == ""


def test_the_reason_is_told(tmp_path) -> None:
    looked(make_stream(tmp_path, state="broken", message="The disk is full.", hint="Make room."), 2)
    ((_event, text),) = told()
    assert "The disk is full. Make room." in text
    assert "is on the server alone" in text


def sets() -> list[str]:
    return [one.state for one in Set.objects.order_by("pk")]


def test_a_base_is_asked_for_once(tmp_path) -> None:
    stream = make_stream(tmp_path, base_wanted_at=ago(10))
    make_set(stream.plan, hours=5, created_at=ago(18000))
    looked(stream, 3)
    assert sets() == ["complete", "waiting"]
    Set.objects.filter(state="waiting").update(state="complete", started_at=timezone.now())
    looked(stream, 2)
    stream.refresh_from_db()
    assert stream.base_wanted_at is None
    assert sets() == ["complete", "complete"]


def test_a_base_that_failed_is_asked_for_again_after_an_hour(tmp_path) -> None:
    stream = make_stream(tmp_path, base_wanted_at=ago(7300))
    looked(stream)
    Set.objects.update(state="failed")
    assert sets() == ["failed"]
    looked(stream)
    assert sets() == ["failed"]
    Set.objects.update(created_at=ago(3700))
    looked(stream)
    assert sets() == ["failed", "waiting"]


class Waited(LogSource):
    """A server that waits for its archive, until it is let go."""

    def __init__(self, problem: OperationFailed | None = None) -> None:
        self.asked: list[float] = []
        self.problem = problem

    def let_go(self, seconds: float) -> str:
        self.asked.append(seconds)
        if self.problem is not None:
            raise self.problem
        return "The server goes on without." if len(self.asked) == 1 else ""


Waited.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


@pytest.fixture
def waited(monkeypatch):
    source = Waited()
    monkeypatch.setattr(MariaDB, "logs", lambda self, token: source)
    return source


def test_a_server_that_waits_for_a_dead_archive_is_let_go_loudly_and_once(tmp_path, waited) -> None:
    stream = make_stream(tmp_path)
    assert looked(stream, safe_at=ago(100)) == []
    assert not waited.asked, "it is behind, and receives"
    found = looked(stream, 3, heartbeat_at=ago(60))
    assert found.count("alarm: shop/database: COMMIT waits for the archive no longer") == 1
    assert waited.asked[0] == pytest.approx(100, abs=5)


def test_a_server_that_may_not_be_let_go_says_so_on_the_stream(tmp_path, waited) -> None:
    waited.problem = OperationFailed("Its user may not.", "GRANT it.")
    stream = make_stream(tmp_path)
    looked(stream, 2, safe_at=ago(100), heartbeat_at=ago(60))
    stream.refresh_from_db()
    assert (stream.message, stream.hint) == ("Its user may not.", "GRANT it.")
