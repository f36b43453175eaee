"""Drills: when they are held, what the system itself checks in them, and how each one went."""

from collections.abc import Sequence
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backups import drill_checks
from backups.drill_checks.base import Check
from backups.models.plan import Plan, valid_cron
from backups.models.recovery import Recovery
from backups.models.set import Set
from drcenter.secrets import is_reference
from drcenter.systems.models import System, known_zone


def reference_or_nothing(value: str) -> None:
    """Raises ValidationError for a value in place of a reference: an identity opens every set."""
    if value and not is_reference(value):
        raise ValidationError(_("Write env:NAME or file:/path; the value itself is not stored here."))


class DrillSchedule(models.Model):
    """When drills of a system are held by themselves, and with whose identity."""

    system = models.ForeignKey(
        System, models.CASCADE, related_name="drill_schedules", verbose_name=_("system")
    )
    plan = models.ForeignKey(
        Plan, models.CASCADE, null=True, blank=True, related_name="drill_schedules", verbose_name=_("plan"),
        help_text=_("Whose newest set is rehearsed. Empty: the newest whole one of the system."),
    )  # fmt: skip
    cron = models.CharField(
        _("schedule"), max_length=100, default="0 6 * * 0", validators=[valid_cron],
        help_text=_(
            "Five cron fields. Weekly, Sundays at 06:00: 0 6 * * 0. Monthly: 0 6 1 * *. Quarterly: 0 6 1 1,4,7,10 *."
        ),
    )  # fmt: skip
    time_zone = models.CharField(
        _("time zone"), max_length=60, default="Europe/Berlin", validators=[known_zone]
    )
    target_age_days = models.PositiveIntegerField(
        _("oldest allowed age in days"), default=9, validators=[MinValueValidator(1)],
        help_text=_("People are told when the last good drill is older. Monthly: 33; quarterly: 95."),
    )  # fmt: skip
    identity = models.CharField(
        _("drill identity"), max_length=300, blank=True, validators=[reference_or_nothing],
        help_text=_(
            "A reference, env:NAME or file:/path, to the age identity of a recovery key for drills. Empty: that of this"
            " machine (DRC_DRILL_IDENTITY). A machine that has it can read the sets."
        ),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)
    last_planned_at = models.DateTimeField(_("last planned time"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("drill schedule")
        verbose_name_plural = _("drill schedules")
        ordering = ["system", "pk"]

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.plan.name if self.plan else '*'} ({self.cron})"

    @property
    def target_age(self) -> timedelta:
        return timedelta(days=self.target_age_days)

    def clean(self) -> None:
        if self.plan is not None and self.plan.system_id != self.system_id:
            raise ValidationError({"plan": _("This plan belongs to another system.")})


class DrillCheck(models.Model):
    """One thing that has to be true of a restored system before anybody calls it good."""

    system = models.ForeignKey(System, models.CASCADE, related_name="drill_checks", verbose_name=_("system"))
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=40, choices=drill_checks.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("drill check")
        verbose_name_plural = _("drill checks")
        ordering = ["system", "pk"]
        constraints = [models.UniqueConstraint(fields=["system", "name"], name="one_check_name_a_system")]

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.name}"

    def build(self) -> Check:
        """The check with this row's options. Nothing is started yet."""
        return drill_checks.build(self.kind, self.options)


class DrillQuerySet(models.QuerySet["Drill"]):
    def passed(self) -> "DrillQuerySet":
        return self.filter(outcome=Drill.Outcome.PASSED)

    def open(self) -> "DrillQuerySet":
        return self.filter(outcome=Drill.Outcome.OPEN)


class Drill(models.Model):
    """One rehearsal of a recovery. Its recovery (mode *drill*) has the steps; here is what came of it."""

    class Outcome(models.TextChoices):
        OPEN = "open", _("under way")
        PASSED = "passed", _("passed")
        FAILED = "failed", _("failed")
        # It should have been held, and could not begin.
        SKIPPED = "skipped", _("skipped")
        CANCELLED = "cancelled", _("cancelled")

    # One with evidence keeps its system by its set; one that was skipped goes with it.
    system = models.ForeignKey(System, models.CASCADE, related_name="drills", verbose_name=_("system"))
    recovery = models.OneToOneField(
        Recovery, models.PROTECT, null=True, blank=True, related_name="drill", verbose_name=_("recovery")
    )
    schedule = models.ForeignKey(
        DrillSchedule, models.SET_NULL, null=True, blank=True, related_name="drills", verbose_name=_("schedule")
    )  # fmt: skip
    set = models.ForeignKey(
        Set, models.PROTECT, null=True, blank=True, related_name="drills", verbose_name=_("set")
    )
    planned_at = models.DateTimeField(_("planned time"), null=True, blank=True)
    outcome = models.CharField(
        _("result"), max_length=10, choices=Outcome.choices, default=Outcome.OPEN, db_index=True
    )
    requested_by = models.CharField(_("requested by"), max_length=150)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    # {source: {"restore_seconds": …, "replay_seconds": …, "compare_seconds": …, "moment": ISO 8601, "by_log": bool}}
    sources = models.JSONField(_("sources"), default=dict, blank=True)
    # [{"check": …, "kind": …, "ok": …, "message": …, "seconds": …}], in order.
    checks = models.JSONField(_("checks"), default=list, blank=True)
    # {source: {table: rows}}.
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    # [{"class": …, "takes_seconds": …, "rto_seconds": …, "lost_seconds": …, "rpo_seconds": …}]
    classes = models.JSONField(_("targets"), default=list, blank=True)
    # What the machine worked, until the system would have been back; what was waited for people and workers.
    machine_seconds = models.FloatField(_("achieved RTO in seconds"), null=True, blank=True)
    waited_seconds = models.FloatField(_("waited, in seconds"), null=True, blank=True)
    # The age of the newest recovered transaction when the drill began.
    lost_seconds = models.FloatField(_("achieved RPO in seconds"), null=True, blank=True)
    # What of the isolation this machine did not allow, in sentences.
    reservations = models.JSONField(_("reservations"), default=list, blank=True)
    # The signed text, byte for byte, and its Ed25519 signature in base64 (backups/drills/evidence.py).
    evidence = models.TextField(_("evidence"), blank=True, editable=False)
    signature = models.CharField(_("signature"), max_length=120, blank=True, editable=False)
    evidence_sha256 = models.CharField(
        _("SHA-256 of the evidence"), max_length=64, blank=True, editable=False
    )
    signing_key = models.CharField(_("fingerprint of the key"), max_length=64, blank=True, editable=False)
    # When it was stored beside the set at its destinations.
    recorded_at = models.DateTimeField(_("stored beside the set"), null=True, blank=True, editable=False)

    objects = DrillQuerySet.as_manager()

    class Meta:
        verbose_name = _("drill")
        verbose_name_plural = _("drills")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("run_drill", _("Can hold drills"))]
        constraints = [
            models.UniqueConstraint(
                fields=["system"], condition=models.Q(outcome="open"), name="one_open_drill_a_system"
            ),
            # A tick that comes twice plans one drill.
            models.UniqueConstraint(
                fields=["schedule", "planned_at"],
                condition=models.Q(planned_at__isnull=False),
                name="one_drill_a_planned_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.system.slug} #{self.pk}"

    @property
    def failed_checks(self) -> Sequence[str]:
        return [one["check"] for one in self.checks if not one["ok"]]
