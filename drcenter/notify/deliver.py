"""Sends waiting deliveries. A channel that fails is tried again, and never fails what it tells of."""

from datetime import timedelta

from django.utils import timezone, translation

from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.enqueue import enqueue
from drcenter.notify.models import Channel, Delivery
from drcenter.secrets import redact, resolve

# Minutes before each next try; after the last one a delivery is given up.
PAUSES = (1, 5, 15, 60, 240)


def tell(event: str, title: str, body: str = "") -> list[Delivery]:
    """Create one delivery for each channel that wants `event`, and queue them. Call it inside a transaction."""
    wanted = [channel for channel in Channel.objects.filter(enabled=True) if channel.wants(event)]
    deliveries = []
    for channel in wanted:
        with translation.override(channel.language):
            delivery = Delivery.objects.create(
                channel=channel, event=event, title=redact(str(title))[:200], body=redact(str(body))
            )
        enqueue("notify.deliver", delivery.pk, target=f"delivery:{delivery.pk}", title=str(delivery))
        deliveries.append(delivery)
    return deliveries


def enqueue_due() -> None:
    """Queue deliveries whose next try has come and that no job carries."""
    for delivery in Delivery.objects.filter(state=Delivery.State.WAITING, next_try_at__lte=timezone.now()):
        enqueue("notify.deliver", delivery.pk, target=f"delivery:{delivery.pk}", title=str(delivery))


def deliver_job(context: JobContext, pk: int) -> None:
    """Send one delivery; note the error and the time of the next try when it fails."""
    delivery = Delivery.objects.select_related("channel").get(pk=pk)
    if delivery.state != Delivery.State.WAITING or delivery.next_try_at > timezone.now():
        return
    delivery.attempts += 1
    try:
        _send(delivery)
    except OperationFailed as error:
        _note_failure(delivery, error)
        context.log(str(error), level="warning")
    else:
        delivery.state, delivery.sent_at, delivery.error = Delivery.State.SENT, timezone.now(), ""
    delivery.save()


def _send(delivery: Delivery) -> None:
    import apprise

    kinds = {"success": apprise.NotifyType.SUCCESS, "warning": apprise.NotifyType.WARNING}
    gateway = apprise.Apprise()
    if not gateway.add(resolve(delivery.channel.url).reveal()):
        raise OperationFailed(
            "The address of the channel is not one that Apprise knows.",
            "Compare it with Apprise's list of services.",
            permanent=True,
        )
    kind = kinds.get(delivery.event, apprise.NotifyType.FAILURE)
    if not gateway.notify(title=delivery.title, body=delivery.body or delivery.title, notify_type=kind):
        raise OperationFailed("The channel did not take the message.", "Send a test message from its page.")


def _note_failure(delivery: Delivery, error: OperationFailed) -> None:
    delivery.error = redact(str(error))
    if error.permanent or delivery.attempts > len(PAUSES):
        delivery.state = Delivery.State.FAILED
    else:
        delivery.next_try_at = timezone.now() + timedelta(minutes=PAUSES[delivery.attempts - 1])
