"""Restores."""

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

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        # The restore failed, what was there before is back, the application runs.
        ROLLED_BACK = "rolled_back", _("rolled back")
        # The application stays stopped: neither the restore nor the way back went through.
        DOWN = "down", _("failed, the application is stopped")
        CANCELLED = "cancelled", _("cancelled")
        LOST = "lost", _("lost")

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
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.WAITING)
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    safety_set = models.ForeignKey(
        Set, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("safety set")
    )
    # [{"step": …, "target": …, "seconds": …, "ok": …, "message": …}], in order.
    steps = models.JSONField(_("steps"), default=list, blank=True)
    # Source name -> {table: rows}.
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    differences = models.JSONField(_("differences"), default=list, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("recovery")
        verbose_name_plural = _("recoveries")
        ordering = ["-id"]
        default_permissions = ("view",)

    @property
    def never_stopped(self) -> bool:
        """The system has no stop commands, so no restore has stopped it; nor did somebody before, that we know of."""
        return not self.skip_stop and not self.copy.set.system.pause_command

    @property
    def state_shown(self) -> str:
        if self.state == self.State.DOWN and self.never_stopped:
            return str(NOT_STOPPED)
        return str(self.get_state_display())

    def __str__(self) -> str:
        return f"{self.copy.set} → {self.get_place_display()}"
