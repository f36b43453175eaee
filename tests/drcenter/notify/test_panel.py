"""The test of a channel in the panel: by POST, with the right, its result said and recorded."""

import pytest

from drcenter.audit.models import Entry
from drcenter.notify.models import Channel
from drcenter.panel.pages import address


@pytest.fixture
def channel(db, monkeypatch):
    monkeypatch.delenv("NO_SUCH_ALERTS", raising=False)
    return Channel.objects.create(name="on-call", url="env:NO_SUCH_ALERTS")


def test_a_channel_that_does_not_work_says_why(as_admin, channel):
    page = as_admin.post(address(channel, "test"), follow=True).text
    assert "NO_SUCH_ALERTS is not set" in page
    assert Entry.objects.get().result == "failed"


def test_a_viewer_sends_nothing(as_viewer, channel):
    assert as_viewer.post(address(channel, "test")).status_code == 403
    assert Entry.objects.get().result == "refused"
    assert as_viewer.get(address(channel, "test")).status_code == 403
