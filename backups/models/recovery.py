"""Restores."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Source
from backups.models.set import Copy, Set
from drcenter.jobs.models import Job

# Of a system without stop commands, in place of "failed, the application is stopped".
NOT_STOPPED = _("failed, the application was not stopped")


class Recovery(models.Model):
    """One restore: from which copy, of which sources, where to, and how every step went."""

    class Mode(models.TextChoices):
        REAL = "real", _("real")
        DRILL = "drill", _("drill")

    class Place(models.TextChoices):
        BESIDE = "beside", _("beside the original")
        PRODUCTION = "production", _("over production")
        SCRATCH = "scratch", _("into a scratch place")

    class Act(models.TextChoices):
        RUN = "run", _("run")
        RESUME = "resume", _("resume")
        UNDO = "undo", _("undo")

    class State(models.TextChoices):
        # Into production: written down, and waits for a second person.
        PLANNED = "planned", _("waits for approval")
        APPROVED = "approved", _("approved")
        # Its time is over, or what would run has changed since.
        VOID = "void", _("void")
        REFUSED = "refused", _("refused")
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        # The restore failed, what was there before is back, the application runs.
        ROLLED_BACK = "rolled_back", _("rolled back")
        # The application stays stopped: neither the restore nor the way back went through.
        DOWN = "down", _("failed, the application is stopped")
        CANCELLED = "cancelled", _("cancelled")
        # Its worker died in the middle: a person resumes or undoes it.
        LOST = "lost", _("interrupted")

    # What it is: "restore", or a kind that has registered itself with backups.recovery.kinds.
    kind = models.CharField(_("kind"), max_length=30, default="restore")
    copy = models.ForeignKey(Copy, models.PROTECT, related_name="recoveries", verbose_name=_("copy"))
    sources = models.ManyToManyField(
        Source, blank=True, verbose_name=_("sources"), help_text=_("None chosen: all.")
    )
    mode = models.CharField(_("mode"), max_length=10, choices=Mode.choices, default=Mode.REAL)
    place = models.CharField(_("place"), max_length=12, choices=Place.choices)
    # Source name -> database or directory beside the original.
    names = models.JSONField(_("names beside"), default=dict, blank=True)
    typed_host = models.CharField(_("host as typed"), max_length=250, blank=True)
    skip_safety = models.BooleanField(
        _("without a safety backup"), default=False,
        help_text=_("For what is beyond saving: a database that is gone cannot be backed up first."),
    )  # fmt: skip
    skip_stop = models.BooleanField(
        _("without the stop commands"), default=False,
        help_text=_("For an application that is stopped already, or too broken to be stopped."),
    )  # fmt: skip
    # Exactly what will run, and the SHA-256 of its canonical text (backups/recovery/digest.py).
    plan = models.JSONField(_("plan"), default=dict, blank=True)
    digest = models.CharField(_("digest of the plan"), max_length=64, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    # A plan that nobody has approved by then, and begun, is void.
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    # What its newest job does, and how many there were.
    act = models.CharField(_("act"), max_length=10, choices=Act.choices, default=Act.RUN)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.WAITING)
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    # Who that is in the panel, if it is known: nobody approves what they asked for.
    requested_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("user who asked"),
    )  # fmt: skip
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    safety_set = models.ForeignKey(
        Set, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("safety set")
    )
    # [{"key": …, "step": …, "target": …, "seconds": …, "ok": …, "message": …, "attempt": …}], in order.
    steps = models.JSONField(_("steps"), default=list, blank=True)
    # What ran before the application was stopped (drcenter.systems.halt), until it is given back.
    halted = models.JSONField(default=list, blank=True, editable=False)
    # Source name -> {table: rows}.
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    # Into a scratch server: which point in time, and how it is reached (backups/replay/point.py).
    point = models.JSONField(_("point in time"), default=dict, blank=True)
    differences = models.JSONField(_("differences"), default=list, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("recovery")
        verbose_name_plural = _("recoveries")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [
            ("approve_recovery", _("Can approve recoveries of others into production")),
            ("break_glass", _("Can restore over production without a second person")),
        ]

    @property
    def never_stopped(self) -> bool:
        """The system has no stop commands, so no restore has stopped it; nor did somebody before, that we know of."""
        system = self.copy.set.system
        return (
            not self.skip_stop and not system.pause_command and not system.halts.filter(enabled=True).exists()
        )

    @property
    def state_shown(self) -> str:
        if self.state == self.State.DOWN and self.never_stopped:
            return str(NOT_STOPPED)
        return str(self.get_state_display())

    def __str__(self) -> str:
        return f"{self.copy.set} → {self.get_place_display()}"
