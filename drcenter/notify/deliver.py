"""Sends waiting deliveries. A channel that fails is tried again, and never fails what it tells of.

One job for each channel sends what waits for it, in order: a channel that hangs holds up itself alone.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import F
from django.utils import timezone, translation
from django.utils.functional import Promise, lazystr
from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job
from drcenter.notify.models import Channel, Delivery, Event
from drcenter.notify.send import send
from drcenter.secrets import redact

KIND = "notify.deliver"
# Minutes before each next try; after the last one a delivery is given up.
PAUSES = (1, 5, 15, 60, 240)


def tell(event: str, title: str | Promise, body: str | Promise = "") -> list[Delivery]:
    """Create one delivery for each channel that wants `event`, and queue them. Call it inside a transaction.

    Texts of gettext_lazy, format_lazy and `retold` arrive in each channel's language, others as they are.
    """
    wanted = [channel for channel in Channel.objects.filter(enabled=True) if channel.wants(event)]
    deliveries = []
    for channel in wanted:
        with translation.override(channel.language):
            delivery = Delivery.objects.create(
                channel=channel, event=event, title=redact(str(title))[:200], body=redact(str(body))
            )
        _ask(channel)
        deliveries.append(delivery)
    return deliveries


class _Retold:
    def __init__(self, texts: Sequence[str], between: str) -> None:
        self._texts, self._between = texts, between

    def __str__(self) -> str:
        return self._between.join(_(text) for text in self._texts if text)


def retold(*texts: str, between: str = " ") -> Promise:
    """Sentences that a row or an error has, joined, without the empty ones, for `tell`.

    They were put in words when they happened. A sentence that the catalogue has as it stands is said in each
    channel's language; one with a name, a figure or a tool's own words in it is passed on as it is.
    """
    return lazystr(_Retold(texts, between))


def test_channel(channel: Channel) -> None:
    """Send a test message now, also to a channel that is switched off. Raises OperationFailed when it fails."""
    with translation.override(channel.language):
        title = _("Test message of the DR Center")
        body = _("If you can read this, the channel “%(name)s” works.") % {"name": channel.name}
    send(channel, Event.SUCCESS, title, body)


test_channel.__test__ = False  # type: ignore[attr-defined]  # pytest: this is no test


def enqueue_due() -> None:
    """A tick: ask for the channels that have deliveries whose time has come."""
    due = Delivery.objects.filter(state=Delivery.State.WAITING, next_try_at__lte=timezone.now())
    for channel in Channel.objects.filter(pk__in=due.values("channel")):
        _ask(channel)


def _ask(channel: Channel) -> Job:
    return enqueue(KIND, channel.pk, target=f"channel:{channel.pk}", title=str(channel))


def deliver_job(context: JobContext, pk: int) -> None:
    """Send what waits for channel `pk`, the oldest first, until nothing is due or one message fails."""
    channel = Channel.objects.filter(pk=pk).first()
    while channel is not None and (delivery := _next_due(channel)) is not None:
        context.check()
        if not _try(context, channel, delivery):
            return


def _next_due(channel: Channel) -> Delivery | None:
    due = channel.deliveries.filter(state=Delivery.State.WAITING, next_try_at__lte=timezone.now())
    return due.order_by("pk").first()


def _try(context: JobContext, channel: Channel, delivery: Delivery) -> bool:
    # Counted before it is sent: a message that kills its worker must not be tried for ever.
    Delivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1)
    delivery.attempts += 1
    try:
        send(channel, delivery.event, delivery.title, delivery.body)
    except OperationFailed as error:
        _note_failure(delivery, error)
        context.log(str(error), level="warning")
        return False
    delivery.state, delivery.sent_at, delivery.error = Delivery.State.SENT, timezone.now(), ""
    delivery.save(update_fields=["state", "sent_at", "error"])
    # The channel is back: what was put off for its sake comes now.
    channel.deliveries.filter(state=Delivery.State.WAITING).update(next_try_at=timezone.now())
    return True


def _note_failure(delivery: Delivery, error: OperationFailed) -> None:
    delivery.error = redact(str(error))
    if error.permanent or delivery.attempts > len(PAUSES):
        delivery.state = Delivery.State.FAILED
        delivery.save(update_fields=["state", "error"])
        return
    delivery.next_try_at = timezone.now() + timedelta(minutes=PAUSES[delivery.attempts - 1])
    delivery.save(update_fields=["next_try_at", "error"])
    # The others that wait for this channel would fail the same way: they are not tried sooner.
    others = delivery.channel.deliveries.filter(state=Delivery.State.WAITING)
    others.filter(next_try_at__lt=delivery.next_try_at).update(next_try_at=delivery.next_try_at)
