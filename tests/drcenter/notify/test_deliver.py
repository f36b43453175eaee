"""Messages over real HTTP, through Apprise, to a receiver that behaves badly."""

import logging
import time

import pytest
from django.utils.translation import gettext_lazy
from django_q.models import OrmQ

from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, Line, State
from drcenter.jobs.work import run_job
from drcenter.notify import send as send_module
from drcenter.notify.deliver import PAUSES, enqueue_due, retold, tell, test_channel
from drcenter.notify.models import Channel, Delivery, Event
from drcenter.notify.send import without_address
from tests.drcenter.notify.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "tok3n-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def channel(receiver, monkeypatch):
    return make_channel(monkeypatch, "ops", receiver.port)


def make_channel(monkeypatch, name, port, **options):
    monkeypatch.setenv(f"URL_{name}", f"json://user:pass-{TOKEN}@127.0.0.1:{port}/{TOKEN}/{name}")
    return Channel.objects.create(name=name, url=f"env:URL_{name}", on_success=True, **options)


def work():
    """Run every job that waits, as the workers do."""
    for job in Job.objects.filter(state=State.QUEUED).order_by("id"):
        run_job(job.pk)


def only():
    return Delivery.objects.get()


def test_a_message_arrives(channel, receiver):
    tell(Event.FAILURE, "The backup failed", "Because of this.")
    assert OrmQ.objects.get().key == "short"
    work()
    assert (only().state, only().attempts, only().error) == ("sent", 1, "")
    message = receiver.messages[0]
    assert (message["title"], message["message"], message["type"]) == (
        "The backup failed", "Because of this.", "failure",
    )  # fmt: skip


def test_channels_hear_what_they_want(monkeypatch, receiver):
    make_channel(monkeypatch, "quiet", receiver.port, on_failure=False)
    make_channel(monkeypatch, "off", receiver.port, enabled=False)
    assert tell(Event.FAILURE, "x") == []
    assert [one.channel.name for one in tell(Event.SUCCESS, "x")] == ["quiet"]


def test_each_channel_reads_its_own_language(monkeypatch, receiver):
    make_channel(monkeypatch, "de", receiver.port, language="de")
    make_channel(monkeypatch, "en", receiver.port, language="en")
    tell(Event.FAILURE, gettext_lazy("failed"))
    titles = {one.channel.name: one.title for one in Delivery.objects.all()}
    assert titles["en"] == "failed"
    test_channel(Channel.objects.get(name="de"))
    assert receiver.messages[0]["title"] == "Testnachricht des DR Centers"


def test_what_was_written_down_is_retold_where_the_catalogue_has_it(monkeypatch, receiver):
    make_channel(monkeypatch, "de", receiver.port, language="de")
    make_channel(monkeypatch, "en", receiver.port, language="en")
    tell(Event.FAILURE, "x", retold("Stopped on request.", "", "mysqldump: error 2013"))
    bodies = {one.channel.name: one.body for one in Delivery.objects.all()}
    assert bodies["en"] == "Stopped on request. mysqldump: error 2013"
    assert bodies["de"].endswith(" mysqldump: error 2013")
    assert "Stopped on request." not in bodies["de"]


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_a_refusal_is_tried_again_later(channel, receiver, status):
    receiver.status = status
    tell(Event.FAILURE, "x")
    work()
    assert (only().state, only().attempts) == ("waiting", 1)
    assert str(status) in only().error
    enqueue_due()
    work()
    assert only().attempts == 1


def test_it_comes_when_the_channel_is_back_and_what_waited_comes_with_it(channel, receiver, time_machine):
    receiver.status = 503
    tell(Event.FAILURE, "first")
    tell(Event.FAILURE, "second")
    work()
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0, 1]
    receiver.status = 200
    time_machine.shift(61)
    enqueue_due()
    work()
    assert [message["title"] for message in receiver.messages] == ["first", "second"]


def test_it_is_given_up_after_the_last_pause(channel, receiver, time_machine):
    receiver.status = 500
    tell(Event.FAILURE, "x")
    work()
    for pause in PAUSES:
        assert only().state == "waiting"
        time_machine.shift(pause * 60 + 1)
        enqueue_due()
        work()
    assert (only().state, only().attempts) == ("failed", len(PAUSES) + 1)
    time_machine.shift(10**6)
    enqueue_due()
    work()
    assert receiver.calls == len(PAUSES) + 1
    assert set(Job.objects.values_list("state", flat=True)) == {"succeeded"}


def test_a_channel_that_is_down(channel, receiver):
    receiver.shutdown()
    receiver.server_close()
    tell(Event.FAILURE, "x")
    work()
    assert only().state == "waiting"


def test_a_channel_that_hangs_is_cut_off_and_holds_up_no_other(channel, receiver, monkeypatch):
    monkeypatch.setattr(send_module, "LONGEST", 1.0)
    receiver.drip.set()
    with Receiver() as other:
        make_channel(monkeypatch, "other", other.port)
        for number in range(5):
            tell(Event.FAILURE, f"message {number}")
        began = time.monotonic()
        work()
        assert time.monotonic() - began < 3
        assert len(other.messages) == 5
    hanging = Delivery.objects.filter(channel=channel)
    assert "did not answer within 1 s" in hanging.order_by("pk")[0].error
    assert {one.state for one in hanging} == {"waiting"}


def test_a_reference_that_leads_nowhere_is_given_up_at_once(channel, monkeypatch):
    monkeypatch.delenv("URL_ops")
    tell(Event.FAILURE, "x")
    work()
    assert only().state == "failed"
    assert "URL_ops is not set" in only().error


def test_an_address_that_apprise_does_not_know(channel, monkeypatch):
    monkeypatch.setenv("URL_ops", f"nonsense://{TOKEN}")
    with pytest.raises(OperationFailed, match="does not know an address like this") as caught:
        test_channel(channel)
    assert TOKEN not in str(caught.value)


def test_the_address_is_nowhere(channel, receiver, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    receiver.status = 500
    tell(Event.FAILURE, "x")
    work()
    receiver.server_close()
    with pytest.raises(OperationFailed):
        test_channel(channel)
    rows = [*Delivery.objects.values(), *Job.objects.values(), *Line.objects.values(), *OrmQ.objects.values()]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert TOKEN not in str(rows)
    assert TOKEN not in str(ours) + "".join(capfd.readouterr())


def test_pieces_of_an_address_are_taken_out_of_what_a_library_says():
    text = without_address(
        "POST to https://hooks.example/T0ken/abc failed for bob%40x",
        "json://bob%40x:pw12@hooks.example/T0ken/abc",
    )
    assert text == "POST to https://[redacted]/[redacted]/abc failed for [redacted]"


def test_a_channel_that_was_removed_meanwhile(channel):
    tell(Event.FAILURE, "x")
    channel.delete()
    work()
    assert Job.objects.get().state == State.SUCCEEDED
