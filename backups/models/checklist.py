"""What has to be looked at after a restore, and who, or what, has."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.recovery import Recovery


class CheckPoint(models.Model):
    """One point of the checklist of one recovery."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        GOOD = "good", _("good")
        BAD = "bad", _("not good")
        # A person says that the system has no such thing.
        NONE = "none", _("does not apply")

    recovery = models.ForeignKey(Recovery, models.CASCADE, related_name="points", verbose_name=_("recovery"))
    key = models.CharField(_("point"), max_length=40)
    order = models.PositiveSmallIntegerField(_("order"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    # What was measured, in English (drcenter.stored), or what a person wrote.
    measured = models.TextField(_("measured"), blank=True)
    # Empty: the product ticked it.
    by = models.CharField(_("by"), max_length=150, blank=True)
    at = models.DateTimeField(_("at"), null=True, blank=True)

    class Meta:
        verbose_name = _("point of a checklist")
        verbose_name_plural = _("points of checklists")
        ordering = ["recovery", "order"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["recovery", "key"], name="one_point_a_recovery")]

    def __str__(self) -> str:
        return f"{self.recovery}: {self.key}"
