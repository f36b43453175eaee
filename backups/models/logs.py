"""Log streams: what is archived continuously, the lives of its log, its segments, and how far each destination is."""

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backups.logs.chain import Segment
from backups.logs.records import read_marks
from backups.models.plan import Destination, Plan, Source

# An archiver that has not been heard of for so long has lost its stream.
LEASE = timedelta(seconds=30)


class LogStream(models.Model):
    """The continuous archive of one source's log. An archiver holds it by a lease: `worker`, `heartbeat_at`."""

    class State(models.TextChoices):
        OFF = "off", _("switched off")
        WAITING = "waiting", _("waits for an archiver")
        RUNNING = "running", _("running")
        BEHIND = "behind", _("behind")
        BROKEN = "broken", _("broken")

    source = models.OneToOneField(Source, models.PROTECT, related_name="log_stream", verbose_name=_("source"))
    plan = models.ForeignKey(
        Plan, models.PROTECT, related_name="log_streams", verbose_name=_("plan"),
        help_text=_("Segments go to its destinations, encrypted to its keys; its sets are the bases of a replay."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)
    interval = models.PositiveSmallIntegerField(
        _("stored every seconds"), default=5, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )
    promise = models.PositiveSmallIntegerField(
        _("promised seconds"), default=10, validators=[MinValueValidator(2), MaxValueValidator(7200)],
        help_text=_("An alert goes out when more than that could be lost."),
    )  # fmt: skip
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    # Who archives it: the token of one archiver's life, and when it was last heard of.
    worker = models.CharField(max_length=120, blank=True, editable=False)
    heartbeat_at = models.DateTimeField(_("last sign of life"), null=True, blank=True, editable=False)
    # Everything that the server had committed before is at a destination (UTC, by the server's clock).
    stored_until = models.DateTimeField(_("safe until"), null=True, blank=True, editable=False)
    # When that was by our own clock: the server's may be wrong.
    safe_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Where the server's log ended when it was last asked, and when that was (by the server's clock).
    server_log = models.CharField(max_length=200, blank=True, editable=False)
    server_offset = models.BigIntegerField(default=0, editable=False)
    server_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Kind of the fault that people were last told of; empty: all is well.
    told = models.CharField(max_length=40, blank=True, editable=False)
    # A replay needs a base that was begun after this: the log was archived anew from then on.
    base_wanted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    # When it was last switched on or off.
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("log stream")
        verbose_name_plural = _("log streams")
        ordering = ["source"]
        permissions = [("run_logstream", _("Can start and stop log streams"))]

    def __str__(self) -> str:
        return str(self.source)

    @property
    def alive(self) -> bool:
        """Whether an archiver holds it."""
        return bool(self.worker and self.heartbeat_at and timezone.now() - self.heartbeat_at < LEASE)

    @property
    def lag_seconds(self) -> float | None:
        """So many seconds of commits would be lost if the server died now; None: nothing is stored yet."""
        if self.safe_at is None:
            return None
        return max(0.0, (timezone.now() - self.safe_at).total_seconds())

    def newest(self) -> "LogSegment | None":
        return self.segments.order_by("-last").first()


class LogIncarnation(models.Model):
    """One life of a server's log. Names of log files may come back in the next one."""

    stream = models.ForeignKey(
        LogStream, models.CASCADE, related_name="incarnations", verbose_name=_("log stream")
    )
    # Part of the names in storage: the server's identity and when its log was created.
    name = models.CharField(_("name"), max_length=80)
    began_at = models.DateTimeField(_("began at"), default=timezone.now)
    # Why the one before ended, as a sentence; empty for the first.
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("incarnation of a log")
        verbose_name_plural = _("incarnations of a log")
        ordering = ["stream", "began_at", "pk"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["stream", "name"], name="one_incarnation_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class LogSegment(models.Model):
    """One stored stretch of one log file: `backups.logs.chain.Segment` as a row."""

    stream = models.ForeignKey(
        LogStream, models.CASCADE, related_name="segments", verbose_name=_("log stream")
    )
    incarnation = models.ForeignKey(
        LogIncarnation, models.CASCADE, related_name="segments", verbose_name=_("incarnation")
    )
    number = models.PositiveBigIntegerField(_("number"))
    last = models.PositiveBigIntegerField(_("last number"))
    log = models.CharField(_("log file"), max_length=200)
    begin = models.BigIntegerField(_("from byte"))
    end = models.BigIntegerField(_("to byte"))
    final = models.BooleanField(_("ends its log file"), default=False)
    # [[at, log, offset, until]], ISO 8601.
    marks = models.JSONField(default=list)
    bounds = models.JSONField(default=dict)
    previous = models.CharField(max_length=64, blank=True)
    stands_for = models.CharField(max_length=64, blank=True)
    key = models.CharField(_("name in storage"), max_length=300)
    digest = models.CharField(_("SHA-256 of the stored bytes"), max_length=64)
    stored_size = models.BigIntegerField(_("stored size"))
    # Empty where the row was found in storage: it is encrypted there.
    plain_blake3 = models.CharField(_("BLAKE3 of the plain bytes"), max_length=64, blank=True)
    recipients = models.JSONField(_("recipients"), default=list)
    created_at = models.DateTimeField(_("stored at"), default=timezone.now)

    class Meta:
        verbose_name = _("log segment")
        verbose_name_plural = _("log segments")
        ordering = ["stream", "number", "last"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["stream", "key"], name="one_log_segment_a_key")]
        indexes = [models.Index(fields=["stream", "last"], name="log_segments_in_order")]

    def __str__(self) -> str:
        return self.key

    @property
    def segment(self) -> Segment:
        return Segment(
            number=self.number, last=self.last, incarnation=self.incarnation.name, log=self.log,
            begin=self.begin, end=self.end, final=self.final, marks=tuple(read_marks(self.marks)),
            previous=self.previous, digest=self.digest, key=self.key, stored_size=self.stored_size,
            stands_for=self.stands_for, bounds=self.bounds,
        )  # fmt: skip


class LogPlace(models.Model):
    """How far a stream is at one destination: every segment up to the number `through` is there, since `since`."""

    stream = models.ForeignKey(LogStream, models.CASCADE, related_name="places", verbose_name=_("log stream"))
    destination = models.ForeignKey(
        Destination, models.PROTECT, related_name="log_places", verbose_name=_("destination")
    )
    since = models.PositiveBigIntegerField(_("from number"), default=1)
    through = models.PositiveBigIntegerField(_("through number"), default=0)
    # Everything that the server had committed before is here.
    stored_until = models.DateTimeField(_("safe until"), null=True, blank=True)
    # While it is away: when it is tried again, how often in a row that failed, and why.
    retry_at = models.DateTimeField(_("tried again at"), null=True, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    fault = models.TextField(_("fault"), blank=True)

    class Meta:
        verbose_name = _("place of a log stream")
        verbose_name_plural = _("places of a log stream")
        ordering = ["stream", "destination"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["stream", "destination"], name="one_log_place_a_destination")
        ]

    def __str__(self) -> str:
        return f"{self.stream} @ {self.destination}"
