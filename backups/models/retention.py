"""How long sets are kept, what keeps them longer, and what stops the removing."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Destination, Plan, Retention
from backups.models.set import Copy, Set

__all__ = ["Freeze", "Leftover", "Pin", "Retention"]


class Pin(models.Model):
    """A person's word that a set stays, and perhaps later that it need not any more.

    Both lie in the storage, too, beside the set (backups.keep.pins): a catalogue that is rebuilt finds them again.
    """

    set = models.ForeignKey(Set, models.CASCADE, related_name="pins", verbose_name=_("set"))
    # The name of its object in the set's folder is made of it.
    token = models.CharField(max_length=40, unique=True, editable=False)
    reason = models.CharField(_("reason"), max_length=300)
    pinned_at = models.DateTimeField(_("pinned at"))
    pinned_by = models.CharField(_("pinned by"), max_length=150)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)
    released_by = models.CharField(_("released by"), max_length=150, blank=True)
    release_reason = models.CharField(_("reason of the release"), max_length=300, blank=True)
    # Which copies have its objects beside them.
    stored_at = models.ManyToManyField(Copy, related_name="+", blank=True, editable=False)
    release_stored_at = models.ManyToManyField(Copy, related_name="+", blank=True, editable=False)

    class Meta:
        verbose_name = _("pin")
        verbose_name_plural = _("pins")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("pin_set", _("Can pin and unpin sets"))]

    def __str__(self) -> str:
        return f"{self.set}: {self.reason}"


class FreezeQuerySet(models.QuerySet["Freeze"]):
    def open(self) -> "FreezeQuerySet":
        """Those that no person has ended."""
        return self.filter(thawed_at=None)

    def stopping(self, plan: Plan) -> "FreezeQuerySet":
        """Those that keep everything of this plan: its own, and those of the places its copies are at."""
        places = Copy.objects.filter(set__plan=plan).values("destination")
        return self.open().filter(Q(plan=plan) | Q(destination__in=places))


class Freeze(models.Model):
    """Nothing is removed of a plan, or at a destination, until a person has looked and says why it may go on."""

    plan = models.ForeignKey(
        Plan, models.CASCADE, null=True, blank=True, related_name="freezes", verbose_name=_("plan")
    )
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, blank=True, related_name="freezes",
        verbose_name=_("destination"),
    )  # fmt: skip
    # [{"doubt": …, "values": {…}}], as backups.doubts finds them; or {"text": a sentence}.
    reasons = models.JSONField(_("reasons"), default=list)
    frozen_at = models.DateTimeField(_("frozen at"), auto_now_add=True)
    thawed_at = models.DateTimeField(_("thawed at"), null=True, blank=True)
    thawed_by = models.CharField(_("thawed by"), max_length=150, blank=True)
    thaw_reason = models.CharField(_("why it may go on"), max_length=300, blank=True)
    # Primary keys of the sets that the person saw would go: while the doubts last, no others do.
    approved = models.JSONField(default=list, blank=True, editable=False)

    objects = FreezeQuerySet.as_manager()

    class Meta:
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("thaw_freeze", _("Can let removing go on after a freeze"))]
        constraints = [
            models.UniqueConstraint(
                fields=["plan"], condition=Q(thawed_at=None, plan__isnull=False), name="one_freeze_a_plan"
            ),
            models.UniqueConstraint(
                fields=["destination"], condition=Q(thawed_at=None, destination__isnull=False),
                name="one_freeze_a_destination",
            ),
            models.CheckConstraint(
                condition=Q(plan__isnull=False) ^ Q(destination__isnull=False), name="freeze_of_one_thing"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.plan or self.destination)


class Leftover(models.Model):
    """What an attempt left at a destination, as the last look found it: a folder that is no set."""

    destination = models.ForeignKey(
        Destination, models.CASCADE, related_name="leftovers", verbose_name=_("destination")
    )
    prefix = models.CharField(_("name in storage"), max_length=200)
    objects_count = models.PositiveIntegerField(_("objects"), default=0)
    size = models.BigIntegerField(_("size"), default=0)
    newest_at = models.DateTimeField(_("last written"), null=True, blank=True)
    # Why it is not removed; "" for what the sweep removes.
    kept_because = models.CharField(_("why it stays"), max_length=300, blank=True)
    seen_at = models.DateTimeField(_("seen at"))

    class Meta:
        verbose_name = _("leftover")
        verbose_name_plural = _("leftovers")
        ordering = ["destination", "prefix"]
        default_permissions = ("view",)
        permissions = [("sweep_destination", _("Can remove leftovers at destinations"))]
        constraints = [
            models.UniqueConstraint(fields=["destination", "prefix"], name="one_leftover_a_folder")
        ]

    def __str__(self) -> str:
        return f"{self.prefix} @ {self.destination}"
