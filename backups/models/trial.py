"""Connection tests of destinations."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Destination


class Trial(models.Model):
    """The last connection test of a destination: what was done there, how long each step took, how it went."""

    destination = models.OneToOneField(
        Destination, models.CASCADE, related_name="trial", verbose_name=_("destination")
    )
    ok = models.BooleanField(_("it works"), default=False)
    # [{"name": …, "ok": …, "seconds": …, "message": …, "hint": …}], in order.
    steps = models.JSONField(_("steps"), default=list)
    ended_at = models.DateTimeField(_("ended at"), auto_now=True)
    requested_by = models.CharField(_("requested by"), max_length=150)

    class Meta:
        verbose_name = _("connection test")
        verbose_name_plural = _("connection tests")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.destination)
