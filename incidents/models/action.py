"""Actions that are prepared for a system, and what became of each time one was run."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drcenter.jobs.models import Job
from drcenter.systems.models import System
from incidents import actions
from incidents.actions.base import Action


class PreparedAction(models.Model):
    """An action with its options, made on a quiet day, so that the bad night has one button."""

    system = models.ForeignKey(System, models.CASCADE, related_name="actions", verbose_name=_("system"))
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=40, choices=actions.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)

    class Meta:
        verbose_name = _("action")
        verbose_name_plural = _("actions")
        ordering = ["system", "name"]
        permissions = [("run_action", _("Can run actions"))]
        constraints = [models.UniqueConstraint(fields=["system", "name"], name="one_action_name_a_system")]

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.name}"

    def build(self) -> Action:
        """The action, with this row's options. Nothing is opened yet."""
        return actions.build(self.kind, self.options)


class ActionRun(models.Model):
    """One run of an action. Its kind and options are copies: editing the prepared action changes nothing in flight."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        # It was done, and what was measured afterwards says that it did not work.
        NOT_VERIFIED = "not_verified", _("done, but it did not work")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        LOST = "lost", _("lost")

    prepared = models.ForeignKey(
        PreparedAction, models.SET_NULL, null=True, related_name="runs", verbose_name=_("action")
    )
    system = models.ForeignKey(System, models.CASCADE, related_name="+", verbose_name=_("system"))
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=40, choices=actions.choices)
    options = models.JSONField(_("options"), default=dict)
    # The run that this one takes back.
    undoes = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="undone_by", verbose_name=_("takes back")
    )
    state = models.CharField(_("state"), max_length=14, choices=State.choices, default=State.WAITING)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", verbose_name=_("job"))
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # What `look` found, written before anything was done.
    before = models.JSONField(_("what there was"), null=True, blank=True)
    measured = models.TextField(_("measured afterwards"), blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("run of an action")
        verbose_name_plural = _("runs of actions")
        ordering = ["-id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.name} #{self.pk}"

    def build(self) -> Action:
        """The action as it was when this run was asked for."""
        return actions.build(self.kind, self.options)

    @property
    def can_be_undone(self) -> bool:
        """Something was done, it can be taken back, and nobody has."""
        done = self.state in {
            self.State.SUCCEEDED,
            self.State.NOT_VERIFIED,
            self.State.LOST,
            self.State.FAILED,
        }
        undone = self.undone_by.filter(
            state__in=[self.State.SUCCEEDED, self.State.WAITING, self.State.RUNNING]
        )
        return bool(
            done and self.before is not None and self.undoes_id is None
            and self.build().reversible and not undone.exists()
        )  # fmt: skip
