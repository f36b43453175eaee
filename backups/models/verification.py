"""Checks of copies."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backups.models.level import Level
from backups.models.set import Copy
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job


class Verification(models.Model):
    """A check of a copy: which level was asked for, which was reached, and what stood in the way."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        PASSED = "passed", _("passed")
        # Nothing is wrong, but the level asked for could not be decided: no fitting server, no identity.
        UNDECIDED = "undecided", _("undecided")
        DAMAGED = "damaged", _("damaged")
        FAILED = "failed", _("failed")

    copy = models.ForeignKey(Copy, models.CASCADE, related_name="verifications", verbose_name=_("copy"))
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    wanted = models.CharField(_("level asked for"), max_length=10, choices=Level.choices)
    reached = models.CharField(_("level reached"), max_length=10, choices=Level.choices, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    requested_by = models.CharField(_("requested by"), max_length=150, default="system")
    created_at = models.DateTimeField(_("requested at"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    # One sentence for each difference, with the object, table or file by name.
    differences = models.JSONField(_("differences"), default=list, blank=True)
    # Per source: seconds of restore and of comparison, counts of objects and contents compared.
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    # When its record was written beside the set (backups/storage/recording.py).
    recorded_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        ordering = ["-id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.copy}: {self.get_wanted_display()}"

    def conclude(self) -> None:
        """Save the outcome, unless it was concluded already: a worker that was given up may wake up.

        Raises OperationFailed then.
        """
        running = Verification.objects.filter(pk=self.pk, state=Verification.State.RUNNING)
        if not running.select_for_update().exists():
            raise OperationFailed(
                gettext("This verification has ended already; what came later is not kept."), permanent=True
            )
        self.save()
