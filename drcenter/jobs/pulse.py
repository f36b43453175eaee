"""A no-op through each queue: proof that work would be done, not only that processes exist."""

from datetime import datetime, timedelta

from django.utils import timezone

from drcenter.jobs.models import Job, Pulse, State

CLUSTERS = ("short", "long")
EVERY = timedelta(seconds=60)
# A queue busy with long work does not answer quickly; the health check allows for that.
SILENT_AFTER = timedelta(minutes=5)


def send_pulses() -> None:
    """One pulse a minute and cluster, and none while the last one has not come out."""
    from django_q.tasks import async_task

    now = timezone.now()
    for cluster in CLUSTERS:
        pulse, _ = Pulse.objects.get_or_create(cluster=cluster)
        unanswered = pulse.sent_at is not None and (pulse.seen_at is None or pulse.seen_at < pulse.sent_at)
        recent = pulse.sent_at is not None and timedelta(0) <= now - pulse.sent_at < EVERY
        if recent or (unanswered and pulse.sent_at and timedelta(0) <= now - pulse.sent_at < SILENT_AFTER):
            continue
        if Pulse.objects.filter(pk=pulse.pk, sent_at=pulse.sent_at).update(sent_at=now):
            async_task("drcenter.jobs.pulse.seen", cluster, cluster=cluster, task_name=f"pulse {cluster}")


def seen(cluster: str) -> None:
    """What the pulse does at the other end of the queue."""
    Pulse.objects.filter(cluster=cluster).update(seen_at=timezone.now())


def silent(now: datetime) -> list[str]:
    """The clusters that have not answered for too long."""
    quiet = []
    busy = Job.objects.filter(state=State.RUNNING).exists()
    for pulse in Pulse.objects.all():
        if pulse.cluster == "long" and busy:
            continue  # All its workers may be at work for hours; their heartbeats say that they live.
        answered = pulse.seen_at is not None and pulse.sent_at is not None and pulse.seen_at >= pulse.sent_at
        if not answered and pulse.sent_at is not None and now - pulse.sent_at > SILENT_AFTER:
            quiet.append(pulse.cluster)
    return quiet
