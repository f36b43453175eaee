"""Who let a recovery into production go ahead, and of what exactly."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.recovery import Recovery


class Approval(models.Model):
    """The word of one person that exactly the plan with this digest may run. One holds at a time for a recovery."""

    class Way(models.TextChoices):
        SECOND = "second", _("by a second person")
        # Without a second person: a reason stands in for one, and somebody else looks at it afterwards.
        BREAK_GLASS = "break_glass", _("break-glass")

    class State(models.TextChoices):
        GRANTED = "granted", _("granted")
        REVOKED = "revoked", _("revoked")
        # Its time is over, or the plan was made anew.
        ENDED = "ended", _("ended")

    recovery = models.ForeignKey(
        Recovery, models.PROTECT, related_name="approvals", verbose_name=_("recovery")
    )
    way = models.CharField(_("way"), max_length=12, choices=Way.choices, default=Way.SECOND)
    digest = models.CharField(_("digest of the plan"), max_length=64)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.GRANTED)
    by = models.CharField(_("by"), max_length=150)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("user"),
    )  # fmt: skip
    at = models.DateTimeField(_("at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"))
    # When a run of the recovery began with it.
    used_at = models.DateTimeField(_("used at"), null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    # Of break-glass only: until when somebody else has to look at it, and who did.
    review_due_at = models.DateTimeField(_("review due at"), null=True, blank=True)
    reminded_at = models.DateTimeField(_("reminded at"), null=True, blank=True)
    reviewed_at = models.DateTimeField(_("reviewed at"), null=True, blank=True)
    reviewed_by = models.CharField(_("reviewed by"), max_length=150, blank=True)
    review = models.TextField(_("review"), blank=True)

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        ordering = ["-id"]
        default_permissions = ("view",)
        constraints = [
            # Two people who approve at once: one of them has.
            models.UniqueConstraint(
                fields=["recovery"], condition=models.Q(state="granted"), name="one_approval_a_recovery"
            )
        ]

    def __str__(self) -> str:
        return f"{self.recovery}: {self.get_way_display()}"

    def holds(self, now: datetime) -> bool:
        return self.state == self.State.GRANTED and now < self.expires_at
