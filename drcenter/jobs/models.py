"""Jobs and their log. The row is the truth; the queue only carries its primary key."""

from datetime import timedelta

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drcenter.stored import shown


class State(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost")


OPEN = (State.QUEUED, State.RUNNING)
# A heartbeat comes every 2 s; after this long without one the worker is taken for dead.
STALE_AFTER = timedelta(seconds=30)


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> "JobQuerySet":
        return self.filter(state__in=OPEN)

    def claim(self, pk: int, worker: str) -> "Job | None":
        """Move the job from queued to running. None when somebody else did, or when its target is busy."""
        now = timezone.now()
        try:
            with transaction.atomic():
                won = self.filter(pk=pk, state=State.QUEUED).update(
                    state=State.RUNNING, worker=worker, started_at=now, heartbeat_at=now,
                    attempt=models.F("attempt") + 1,
                )  # fmt: skip
        except IntegrityError:
            return None  # Another job runs on the same target: this one stays queued, the dispatcher sends it again.
        return self.get(pk=pk) if won == 1 else None


class Job(models.Model):
    """One long act: what it is, where it stands, how it ended."""

    kind = models.CharField(_("kind"), max_length=60)
    title = models.CharField(_("title"), max_length=200)
    # The primary key that the kind's function is called with.
    subject = models.BigIntegerField(_("subject"))
    # What two jobs may not do at once: "system:3".
    target = models.CharField(_("target"), max_length=120)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.QUEUED, db_index=True
    )
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    worker = models.CharField(_("worker"), max_length=120, blank=True)
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    cancel_requested_by = models.CharField(_("cancelled by"), max_length=150, blank=True)
    phase = models.CharField(_("phase"), max_length=120, blank=True)
    item = models.CharField(_("item"), max_length=200, blank=True)
    bytes_done = models.BigIntegerField(_("bytes done"), default=0)
    bytes_expected = models.BigIntegerField(_("bytes expected"), default=0)
    # Bytes a second since the last heartbeat, smoothed.
    rate = models.BigIntegerField(_("bytes per second"), default=0)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    permanent = models.BooleanField(_("trying again is pointless"), default=False)
    # Whether the kind's `ended` was called after the end.
    settled = models.BooleanField(_("settled"), default=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("cancel_job", _("Can cancel a job"))]
        constraints = [
            models.UniqueConstraint(
                fields=["target"], condition=Q(state="running"), name="one_running_job_a_target"
            ),
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(state="queued"), name="one_waiting_job_a_subject"
            ),
        ]

    def __str__(self) -> str:
        return shown(self.title)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def waits_for(self) -> "Job | None":
        """The job that has to end before this one can begin: two do not work on the same target at once."""
        if self.state != State.QUEUED:
            return None
        return Job.objects.filter(target=self.target, state=State.RUNNING).exclude(pk=self.pk).first()

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def percent(self) -> int | None:
        """None while nobody knows how much there is."""
        if not self.bytes_expected:
            return None
        return min(99 if self.is_open else 100, self.bytes_done * 100 // self.bytes_expected)

    @property
    def seconds_left(self) -> int | None:
        if not self.bytes_expected or not self.rate or not self.is_open:
            return None
        return max(0, self.bytes_expected - self.bytes_done) // self.rate


class Line(models.Model):
    """One line of a job's log, written as it happens."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="lines", verbose_name=_("job"))
    at = models.DateTimeField(_("at"), default=timezone.now)
    level = models.CharField(_("level"), max_length=10, default="info")
    text = models.TextField(_("text"))

    class Meta:
        verbose_name = _("log line")
        verbose_name_plural = _("log lines")
        ordering = ["id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.text


class Pulse(models.Model):
    """When a no-op last came out of a queue: a cluster that hangs is seen, though its processes live."""

    cluster = models.CharField(_("cluster"), max_length=20, unique=True)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    seen_at = models.DateTimeField(_("seen at"), null=True)

    class Meta:
        verbose_name = _("pulse")
        verbose_name_plural = _("pulses")
        default_permissions = ()

    def __str__(self) -> str:
        return self.cluster
