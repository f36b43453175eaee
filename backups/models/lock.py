"""Locks of copies, and the canaries that show that locks hold."""

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Destination
from backups.models.set import Copy


class Lock(models.Model):
    """What keeps a copy from being deleted, as the store said when it was last asked; never what was hoped for."""

    class State(models.TextChoices):
        ASKED = "asked", _("not locked yet")
        HELD = "held", _("locked")
        NOT_HELD = "not_held", _("not locked")

    copy = models.OneToOneField(Copy, models.CASCADE, related_name="lock", verbose_name=_("copy"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ASKED)
    wanted_until = models.DateTimeField(_("to be locked until"))
    # Read back from the store, the least of all objects of the copy.
    mode = models.CharField(_("mode"), max_length=40, blank=True)
    until = models.DateTimeField(_("locked until"), null=True, blank=True)
    objects_count = models.PositiveIntegerField(_("objects"), default=0)
    checked_at = models.DateTimeField(_("read back at"), default=timezone.now)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("lock")
        verbose_name_plural = _("locks")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.copy)

    def holds(self, now: datetime) -> bool:
        return self.state == self.State.HELD and self.until is not None and self.until > now


class Canary(models.Model):
    """A small locked object of a destination. Each day somebody tries to delete it, and has to be refused."""

    class State(models.TextChoices):
        ASKED = "asked", _("not tried yet")
        REFUSED = "refused", _("the delete was refused")
        DELETED = "deleted", _("the delete succeeded")
        UNKNOWN = "unknown", _("could not be tried")

    destination = models.OneToOneField(
        Destination, models.CASCADE, related_name="canary", verbose_name=_("destination")
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ASKED)
    mode = models.CharField(_("mode"), max_length=40, blank=True)
    until = models.DateTimeField(_("locked until"), null=True, blank=True)
    tried_at = models.DateTimeField(_("tried at"), null=True, blank=True)
    # When the last try that could be made was refused.
    refused_at = models.DateTimeField(_("last refused"), null=True, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("canary")
        verbose_name_plural = _("canaries")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.destination)
