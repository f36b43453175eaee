"""A no-op through each queue: proof that work would be done, not only that processes exist."""

from datetime import datetime, timedelta

from django.utils import timezone

from drcenter.jobs.models import Job, Pulse, State
from drcenter.jobs.registry import known_cluster

CLUSTERS = ("short", "long")
EVERY = timedelta(seconds=60)
# A queue busy with long work does not answer quickly; the health check allows for that.
SILENT_AFTER = timedelta(minutes=5)
# The row that each round of ticks writes (drcenter.jobs.reap).
TICKS = "ticks"


def send_pulses() -> None:
    """One pulse a minute and cluster, and none while the last one has not come out."""
    from django_q.tasks import async_task

    now = timezone.now()
    for cluster in CLUSTERS:
        pulse, _ = Pulse.objects.get_or_create(cluster=cluster)
        pause = EVERY if answered(pulse) else SILENT_AFTER
        if pulse.sent_at is not None and timedelta(0) <= now - pulse.sent_at < pause:
            continue
        # A pulse that is sent again keeps the time since which the cluster has been silent.
        since = pulse.sent_at if pulse.sent_at and pulse.sent_at <= now and not answered(pulse) else now
        if Pulse.objects.filter(pk=pulse.pk, sent_at=pulse.sent_at).update(sent_at=since):
            async_task("drcenter.jobs.pulse.seen", cluster, cluster=cluster, task_name=f"pulse {cluster}")


def seen(cluster: str) -> None:
    """What the pulse does at the other end of the queue."""
    Pulse.objects.filter(cluster=cluster).update(seen_at=timezone.now())


def answered(pulse: Pulse) -> bool:
    return pulse.sent_at is None or (pulse.seen_at is not None and pulse.seen_at >= pulse.sent_at)


def silent(now: datetime) -> list[str]:
    """The clusters that have not answered for too long, and "ticks" when nobody looks any more."""
    busy = {known_cluster(job.kind) for job in Job.objects.filter(state=State.RUNNING)}
    pulses = {pulse.cluster: pulse for pulse in Pulse.objects.all()}
    quiet = []
    for cluster in CLUSTERS:
        pulse = pulses.get(cluster)
        # All its workers may be at work for hours; their heartbeats say that they live.
        if pulse is None or pulse.sent_at is None or cluster in busy or answered(pulse):
            continue
        if now - pulse.sent_at > SILENT_AFTER:
            quiet.append(cluster)
    ticks = pulses.get(TICKS)
    if ticks is None or ticks.seen_at is None or abs(now - ticks.seen_at) > SILENT_AFTER:
        quiet.append(TICKS)
    return quiet
