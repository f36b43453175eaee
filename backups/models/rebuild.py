"""Rebuilds of the catalogue, and whose signatures are trusted."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Destination
from drcenter.jobs.models import Job


class RebuildQuerySet(models.QuerySet["Rebuild"]):
    def unconfirmed(self) -> "RebuildQuerySet":
        """Those that changed the catalogue, and that no person has looked at: until then nothing is pruned."""
        return self.filter(changed=True, dry_run=False, confirmed_at__isnull=True)

    def waits(self) -> str:
        """Why nothing may be pruned just now, in a sentence; "" if nothing waits for a person."""
        waiting = self.unconfirmed().select_related("destination").first()
        if waiting is None:
            return ""
        if waiting.destination is None:
            return gettext(
                "The DR Center's own database was put back from a backup, and nobody has confirmed it yet."
            )
        return gettext("The catalogue was rebuilt from %(destination)s, and nobody has confirmed it yet.") % {
            "destination": waiting.destination
        }

    def held_plans(self) -> set[int]:
        """Primary keys of plans whose schedule waits: a rebuild made them, and nobody has looked yet."""
        return {pk for keys in self.unconfirmed().values_list("plans", flat=True) for pk in keys}


class Rebuild(models.Model):
    """What one look through a destination found, and what was made of it."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    # None: the panel's own database was put back from a backup, which a person has to look at as well.
    destination = models.ForeignKey(
        Destination, models.CASCADE, null=True, related_name="rebuilds", verbose_name=_("destination")
    )
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    dry_run = models.BooleanField(_("only look"), default=False)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now, editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # {what: how many}, as backups.rebuild.Count names them.
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    # Sentences: what was refused, is missing, or has a gap.
    findings = models.JSONField(_("findings"), default=list, blank=True)
    # Primary keys of rows that could not be completed without an identity: {"systems": [...], "plans": [...]}.
    bare = models.JSONField(default=dict, blank=True, editable=False)
    # Primary keys of the plans it made: their schedule waits until somebody has looked.
    plans = models.JSONField(default=list, blank=True, editable=False)
    changed = models.BooleanField(default=False, editable=False)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    confirmed_by = models.CharField(_("confirmed by"), max_length=150, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    objects = RebuildQuerySet.as_manager()

    class Meta:
        verbose_name = _("rebuild of the catalogue")
        verbose_name_plural = _("rebuilds of the catalogue")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("rebuild_catalog", _("Can rebuild the catalogue from storage"))]

    def __str__(self) -> str:
        return f"{self.destination or '–'}: {self.created_at:%Y-%m-%d %H:%M}"


class Signer(models.Model):
    """The public half of a signing key that was ours on another machine: its sets are our own."""

    fingerprint = models.CharField(_("fingerprint"), max_length=64, unique=True)
    public_pem = models.TextField(_("public key"))
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("earlier signing key")
        verbose_name_plural = _("earlier signing keys")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.fingerprint[:16]


class Generation(models.Model):
    """One row: the token that also stands in the state directory (backups/storage/generation.py)."""

    token = models.CharField(max_length=40)
    # The newest set of the panel's own database when the token was made.
    set_pk = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("generation")
        verbose_name_plural = _("generations")
        default_permissions = ()

    def __str__(self) -> str:
        return self.token[:8]
