"""What the ready-made groups were given: what people took away since is not given again."""

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.Model):
    """A role that was made here once, and its group; the group is None when people have deleted it."""

    key = models.CharField(_("key"), max_length=40, unique=True)
    group = models.OneToOneField(Group, on_delete=models.SET_NULL, null=True, related_name="role")
    # Every right that it was ever given, as "app.codename".
    given = models.JSONField(_("given"), default=list)

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        default_permissions = ()

    def __str__(self) -> str:
        return self.key
