"""The pages of log streams: what they say, and switching on and off."""

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.engines.base import Finding
from backups.logs import switch
from backups.models import Destination, LogIncarnation, LogPlace, LogStream
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.panel.pages import address
from tests.backups.logs.streams import make_stream
from tests.backups.planning import make_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def stream(tmp_path):
    return make_stream(tmp_path)


class Logs:
    """Of a server that answers like this."""

    def __init__(self, *found: Finding, error: OperationFailed | None = None) -> None:
        self.found, self.error, self.released = found, error, 0

    def preflight(self) -> list[Finding]:
        if self.error is not None:
            raise self.error
        return list(self.found)

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def server(monkeypatch):
    def answering(*found: Finding, error: OperationFailed | None = None) -> Logs:
        logs = Logs(*found, error=error)
        monkeypatch.setattr("backups.engines.mariadb.Plugin.logs", lambda self, token: logs)
        return logs

    return answering


def changed(stream, **fields) -> str:
    LogStream.objects.filter(pk=stream.pk).update(**fields)
    return address(stream)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "Any moment since its base can be reached"),
        ({"safe_at": timezone.now() - timedelta(hours=2)}, "are on the server alone"),
        ({"worker": ""}, "is manage.py run running?"),
        ({"state": "broken", "message": "The disk is full."}, "The disk is full."),
        ({"enabled": False}, "Nothing of its log is archived"),
        ({"base_wanted_at": timezone.now()}, "no moment can be reached with this log"),
    ],
)
def test_what_the_page_says(as_viewer, stream, fields, expected) -> None:
    text = as_viewer.get(changed(stream, **fields)).content.decode()
    assert expected in text
    assert "Switch off" not in text


def test_gaps_and_destinations(as_viewer, stream) -> None:
    LogIncarnation.objects.create(stream=stream, name="a-1")
    assert "the archived log is whole" in as_viewer.get(address(stream)).content.decode()
    LogIncarnation.objects.create(stream=stream, name="a-2", reason="binlog.000003 was purged.")
    LogPlace.objects.create(stream=stream, destination=Destination.objects.get(), fault="The cable is cut.")
    text = as_viewer.get(address(stream)).content.decode()
    assert "binlog.000003 was purged." in text
    assert "The cable is cut." in text


def test_it_stands_on_the_page_of_its_system(as_viewer, stream) -> None:
    text = as_viewer.get(address(stream.source.system)).content.decode()
    assert address(stream) in text
    assert address(stream) in as_viewer.get("/admin/backups/logstream/").content.decode()


def test_switched_off_and_on_again(as_operator, stream, server) -> None:
    logs = server()
    LogStream.objects.update(worker="")
    as_operator.get(address(stream, "off"))
    stream.refresh_from_db()
    assert stream.enabled, "looking does nothing"
    as_operator.post(address(stream, "off"))
    stream.refresh_from_db()
    assert (stream.enabled, stream.state, logs.released) == (False, "off", 1)
    as_operator.post(address(stream, "on"), {"plan": stream.plan.pk, "interval": 3, "promise": 9})
    stream.refresh_from_db()
    assert (stream.enabled, stream.state, stream.interval, stream.promise) == (True, "waiting", 3, 9)
    done = [entry.action for entry in Entry.objects.order_by("pk") if entry.action.startswith("backups.logs")]
    assert done == ["backups.logs.switched_off", "backups.logs.switched_on"]


def test_begun_from_the_source(as_operator, as_admin, stream, server) -> None:
    server(Finding("The log holds statements.", "Set binlog_format."))
    source, plan = stream.source, stream.plan
    stream.delete()
    assert "Archive its log" in as_admin.get(address(source)).content.decode()
    text = as_admin.get(address(source, "stream")).content.decode()
    assert "The log holds statements." in text
    as_admin.post(address(source, "stream"), {"plan": plan.pk, "interval": 5, "promise": 10})
    assert LogStream.objects.get(source=source).enabled


def test_what_is_in_the_way_is_told_with_its_cure_and_the_honest_rhythm(as_admin, stream, server) -> None:
    server(Finding("The user may not.", "GRANT REPLICATION SLAVE", caps=True))
    source, plan = stream.source, stream.plan
    stream.delete()
    answer = as_admin.post(address(source, "stream"), {"plan": plan.pk, "interval": 5, "promise": 10})
    assert "GRANT REPLICATION SLAVE" in answer.content.decode()
    assert "dumps in a short rhythm" in as_admin.get(address(source, "stream")).content.decode()
    assert not LogStream.objects.exists()


def test_a_server_that_is_away(as_admin, stream, server) -> None:
    server(error=OperationFailed("Nobody listens.", "Start it."))
    source = stream.source
    stream.delete()
    assert "Nobody listens." in as_admin.get(address(source, "stream")).content.decode()


def test_a_promise_that_cannot_be_kept(as_operator, stream, server) -> None:
    server()
    answer = as_operator.post(address(stream, "on"), {"plan": stream.plan.pk, "interval": 10, "promise": 10})
    assert "has to be longer" in answer.content.decode()


def test_a_plan_that_does_not_take_it_is_no_base(stream, server) -> None:
    server()
    stream.plan.sources.clear()
    with pytest.raises(OperationFailed, match="no base"):
        switch.switch_on(stream.source, stream.plan, requested_by="anna")


def test_a_viewer_may_not(as_viewer, stream) -> None:
    assert as_viewer.post(address(stream, "off")).status_code == 403
    assert as_viewer.post(address(stream.source, "stream")).status_code == 403
    stream.refresh_from_db()
    assert stream.enabled


@pytest.mark.parametrize(
    ("minutes", "expected"), [(1, "every 5 min"), (4, "every 10 min"), (400, "every 720 min")]
)
def test_the_honest_rhythm(stream, minutes, expected) -> None:
    began = timezone.now() - timedelta(hours=8)
    one = make_set(stream.plan, started_at=began, finished_at=began + timedelta(minutes=minutes))
    one.parts.create(
        source=stream.source, source_name="database", order=1, name="database", suffix="sql", engine="mariadb",
        tier="database", key="k", plain_size=1, stored_size=1, stored_sha256="0" * 64,
    )  # fmt: skip
    assert expected in switch.instead(stream.source)
