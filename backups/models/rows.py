"""Comparisons of a table with production, and what was put back of them."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Source
from backups.models.recovery import Recovery
from backups.models.set import Copy
from drcenter.jobs.models import Job


class RowComparison(models.Model):
    """One table as it was, against production. What differs lies in a file below DRC_STATE/rows, for some days."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("compared")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        LOST = "lost", _("lost")
        # What differed was removed: the file held production's data.
        REMOVED = "removed", _("removed")

    copy = models.ForeignKey(Copy, models.PROTECT, related_name="comparisons", verbose_name=_("copy"))
    source = models.ForeignKey(Source, models.PROTECT, related_name="comparisons", verbose_name=_("source"))
    wanted_at = models.DateTimeField(_("as of"), null=True, blank=True)
    # The log is replayed up to that second; otherwise the set itself is compared.
    exact = models.BooleanField(_("to the second"), default=False)
    table = models.CharField(_("table"), max_length=200)
    counterpart = models.CharField(
        _("table in production"), max_length=200, blank=True,
        help_text=_("Where it has another name by now. Empty: the same."),
    )  # fmt: skip
    # Names of columns; empty: the primary key; ["*"]: whole rows.
    key = models.JSONField(_("key"), default=list, blank=True)
    # Names of columns then -> now.
    renamed = models.JSONField(_("renamed columns"), default=dict, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # {"deleted": …, "changed": …, "added": …, "parents": …, "children": …}
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    notes = models.JSONField(_("notes"), default=list, blank=True)
    timings = models.JSONField(_("timings"), default=dict, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("comparison of rows")
        verbose_name_plural = _("comparisons of rows")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [
            ("compare_rows", _("Can compare rows of sets with production")),
            ("restore_rows", _("Can put rows back into production")),
        ]

    def __str__(self) -> str:
        return f"{self.copy.set}: {self.table}"

    @property
    def table_now(self) -> str:
        return self.counterpart or self.table


class RowChange(models.Model):
    """Rows that are put back, or the undoing of that: exactly the statements of its file."""

    class State(models.TextChoices):
        PLANNED = "planned", _("planned")
        RUNNING = "running", _("running")
        # From here until the answer to COMMIT nobody knows.
        COMMITTING = "committing", _("being committed")
        APPLIED = "applied", _("applied")
        CONFLICTS = "conflicts", _("nothing applied: conflicts")
        FAILED = "failed", _("failed, nothing applied")
        UNKNOWN = "unknown", _("outcome unknown")
        CANCELLED = "cancelled", _("cancelled, nothing applied")

    comparison = models.ForeignKey(
        RowComparison, models.PROTECT, related_name="changes", verbose_name=_("comparison of rows")
    )
    undo_of = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="undone_by", verbose_name=_("undoes")
    )
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PLANNED)
    # SHA-256 of its statements, in order, as they are shown.
    digest = models.CharField(_("digest of the statements"), max_length=64, blank=True)
    skip_conflicts = models.BooleanField(
        _("leave out rows with conflicts"), default=False,
        help_text=_("Otherwise nothing is applied as long as one row is not as it was shown."),
    )  # fmt: skip
    without_triggers = models.BooleanField(
        _("without triggers"), default=False,
        help_text=_("Only PostgreSQL, and only for a superuser; foreign keys are not checked then either."),
    )  # fmt: skip
    # The plan of it, which a second person approves; None until it is asked for.
    recovery = models.OneToOneField(
        Recovery, models.PROTECT, null=True, blank=True, related_name="rows", verbose_name=_("recovery")
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # {table: {"INSERT": …, "UPDATE": …, "DELETE": …}}: what is to be done; and "left out", "done" afterwards.
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    # The first conflicts, one sentence each.
    conflicts = models.JSONField(_("conflicts"), default=list, blank=True)
    notes = models.JSONField(_("notes"), default=list, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)

    class Meta:
        verbose_name = _("rows put back")
        verbose_name_plural = _("rows put back")
        ordering = ["-id"]
        default_permissions = ("view",)

    @property
    def job(self) -> Job | None:
        """What carries it out."""
        return self.recovery.job if self.recovery is not None else None

    def __str__(self) -> str:
        return f"{self.comparison} #{self.pk}"
