"""Sources, destinations, and the plans that bring them together."""

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from backups import destinations, engines
from backups.destinations.base import Destination as DestinationPlugin
from backups.destinations.base import Role
from backups.engines.base import Engine
from backups.keep.retention import Rules
from backups.models.level import Level
from backups.schedule import Cron, InvalidCron
from drcenter.systems.models import System, known_zone

if TYPE_CHECKING:
    from backups.models.set import Set


class Tier(models.TextChoices):
    """What a source's data is for."""

    APPLICATION = "application", _("application code")
    DATABASE = "database", _("database")
    CONFIGURATION = "configuration", _("configuration")
    STORAGE = "storage", _("storage")
    DOCUMENTATION = "documentation", _("documentation")
    EXTERNAL = "external", _("external services")
    SYSTEM = "system", _("system configuration")
    GIT = "git", _("git state")
    CERTIFICATES = "certificates", _("certificates")
    INFORMATION = "information", _("system information")
    SCRIPTS = "scripts", _("scripts")
    METADATA = "metadata", _("metadata")


class Source(models.Model):
    """One thing of a system that can be dumped."""

    system = models.ForeignKey(System, models.PROTECT, related_name="sources", verbose_name=_("system"))
    name = models.SlugField(
        _("name"), max_length=60, help_text=_("Part of the names of the parts in storage.")
    )
    engine = models.CharField(_("engine"), max_length=40, choices=engines.choices)
    tier = models.CharField(_("tier"), max_length=20, choices=Tier.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("source")
        verbose_name_plural = _("sources")
        ordering = ["system", "name"]
        constraints = [models.UniqueConstraint(fields=["system", "name"], name="one_source_name_a_system")]

    def __str__(self) -> str:
        return f"{self.system.slug}/{self.name}"

    def build(self) -> Engine:
        """The engine with this source's options. Nothing is opened yet."""
        return engines.build(self.engine, self.options)

    def taken_by(self) -> "list[Plan]":
        """The plans whose sets have it, by profile or because it was picked."""
        picked = set(self.plans.values_list("pk", flat=True))
        return [
            plan
            for plan in self.system.plans.select_related("system", "profile")
            if (self.tier in plan.profile.tiers if plan.profile else plan.pk in picked)
        ]


class Medium(models.TextChoices):
    """What keeps the bytes: two media that are alike fail alike."""

    DISK = "disk", _("disk of this machine")
    SERVER = "server", _("another machine")
    STORE = "store", _("object store")
    REMOVABLE = "removable", _("disk or tape that is taken out")


class Destination(models.Model):
    """A place that keeps sets."""

    name = models.SlugField(_("name"), max_length=60, unique=True)
    kind = models.CharField(_("kind"), max_length=40, choices=destinations.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    medium = models.CharField(
        _("kind of medium"), max_length=20, blank=True, choices=Medium.choices,
        help_text=_("For the rule of two kinds. Empty: as its kind of destination suggests."),
    )  # fmt: skip
    off_site = models.BooleanField(
        _("away from this site"), default=False,
        help_text=_("A fire, a flood or a thief here does not reach it."),
    )  # fmt: skip
    # While copies cannot be made up for: when it is tried again, how often in a row that failed, and why.
    retry_at = models.DateTimeField(_("tried again at"), null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    fault = models.TextField(_("fault"), blank=True, editable=False)

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def build(self, role: Role = Role.WRITE) -> DestinationPlugin:
        """The destination with this row's options, and the credentials of that role. Nothing is opened yet."""
        return destinations.build(self.kind, self.options, role)

    def build_impatient(self, role: Role = Role.WRITE) -> DestinationPlugin:
        """As `build`, but its first error is told: for the connection test."""
        return destinations.build_impatient(self.kind, self.options, role)

    @property
    def lock_days(self) -> int:
        """For how many days each copy is locked there; 0 where nothing is."""
        return int(self.options.get("lock_days") or 0)


def valid_cron(expression: str) -> None:
    """Raises ValidationError for an expression that never fires or cannot be read."""
    try:
        Cron(expression, "UTC")
    except InvalidCron as error:
        raise ValidationError(str(error)) from error


def _number(
    label: Any, default: int = 0, most: int = 36_500, **more: Any
) -> "models.PositiveIntegerField[int, int]":
    return models.PositiveIntegerField(label, default=default, validators=[MaxValueValidator(most)], **more)


OWN_CLASSES = (
    gettext_noop("7 daily, 4 weekly, 12 monthly, 5 yearly"),
    gettext_noop("30 daily, 12 monthly"),
    gettext_noop("14 days"),
)


class Retention(models.Model):
    """A class of keeping, to which plans point: how many sets stay, and for how long."""

    name = models.CharField(_("name"), max_length=80, unique=True)
    last = _number(_("newest"), help_text=_("So many of the newest sets stay. 0: this rule does not count."))
    daily = _number(_("days"), help_text=_("One set of each of so many days that have any."))
    weekly = _number(_("weeks"))
    monthly = _number(_("months"))
    yearly = _number(_("years"))
    days = _number(_("everything younger than days"))
    minimum = _number(
        _("never fewer than"), 3, 1000, help_text=_("So many usable sets stay, whatever the rules say.")
    )
    special_days = _number(
        _("days for special sets"),
        30,
        help_text=_("Sets taken before a restore, and damaged ones, count for no rule."),
    )
    lock_days = _number(
        _("locked for days"),
        help_text=_("At destinations that lock. 0: as long as the destination says; more makes it longer."),
    )

    class Meta:
        verbose_name = _("retention class")
        verbose_name_plural = _("retention classes")
        ordering = ["name"]

    def __str__(self) -> str:
        # Those that came with the product are said in the reader's language.
        return gettext(self.name) if self.name in OWN_CLASSES else self.name

    @property
    def rules(self) -> Rules:
        return Rules(**{field.name: getattr(self, field.name) for field in fields(Rules)})


# The class of new plans; a migration makes it.
STANDARD = "7 daily, 4 weekly, 12 monthly, 5 yearly"


def standard_retention() -> int | None:
    """For new plans. None where somebody has removed it: then everything is kept."""
    return Retention.objects.filter(name=STANDARD).values_list("pk", flat=True).first()


class Plan(models.Model):
    """Which sources, when, to which destinations, verified how."""

    system = models.ForeignKey(System, models.PROTECT, related_name="plans", verbose_name=_("system"))
    name = models.CharField(_("name"), max_length=80, default="daily")
    profile = models.ForeignKey(
        "backups.Profile", models.PROTECT, null=True, blank=True, related_name="plans", verbose_name=_("profile"),
        help_text=_("Every source of its tiers, also one that is added later. Empty: the sources chosen below."),
    )  # fmt: skip
    sources = models.ManyToManyField(Source, blank=True, related_name="plans", verbose_name=_("sources"))
    destinations = models.ManyToManyField(Destination, related_name="plans", verbose_name=_("destinations"))
    tables = models.JSONField(
        _("only these tables"), default=list, blank=True,
        help_text=_("Of its databases; sources without any of them are left out. Empty: everything."),
    )  # fmt: skip
    cron = models.CharField(
        _("schedule"), max_length=100, blank=True, default="0 2 * * *", validators=[valid_cron],
        help_text=_("Five cron fields, in the time zone below: 0 2 * * * is 02:00 each day. Empty: by hand only."),
    )  # fmt: skip
    time_zone = models.CharField(
        _("time zone"), max_length=60, default="Europe/Berlin", validators=[known_zone]
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    level = models.CharField(
        _("verify up to"), max_length=10, choices=Level.choices, default=Level.PROVEN,
        help_text=_("Proven: restored into a scratch place right after the backup, and compared."),
    )  # fmt: skip
    encrypt = models.BooleanField(
        _("encrypt"),
        default=True,
        help_text=_("To the recovery keys. Without it anybody who reads the store reads the data."),
    )
    compression = models.PositiveSmallIntegerField(
        _("compression level"), default=2, validators=[MinValueValidator(1), MaxValueValidator(19)],
        help_text=_("Of zstd. 2 takes a quarter less time than 3, for 5 to 13 % more bytes; 9 and more are slow."),
    )  # fmt: skip
    bandwidth_mib = models.PositiveIntegerField(
        _("bandwidth limit in MiB/s"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    increments = models.PositiveSmallIntegerField(
        _("increments after a full set"), default=0, validators=[MaxValueValidator(1000)],
        help_text=_(
            "Of files: that many sets in a row hold only what changed, and need the sets before them. 0: every set"
            " is full."
        ),
    )  # fmt: skip
    full_after_days = models.PositiveSmallIntegerField(
        _("full again after days"), default=7, validators=[MinValueValidator(1)],
        help_text=_("A set is full when the last full one is older than that."),
    )  # fmt: skip
    full_above_percent = models.PositiveSmallIntegerField(
        _("full again above percent"), default=30, validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("A set is full when what changed, or all increments so far, would be more than that of a full one."),
    )  # fmt: skip
    store_once = models.BooleanField(
        _("store unchanged parts once"), default=False,
        help_text=_(
            "A part that is the same as in an earlier set is not stored again, but referred to: the set needs the"
            " earlier one. Off: each set is complete in itself."
        ),
    )  # fmt: skip
    side_by_side = models.PositiveSmallIntegerField(
        _("sources side by side"), default=1, validators=[MinValueValidator(1), MaxValueValidator(8)],
        help_text=_("How many sources are read at the same time. Each takes a processor core and 40 MB of memory."),
    )  # fmt: skip
    minimum_copies = models.PositiveSmallIntegerField(
        _("copies at least"), default=1, validators=[MinValueValidator(1)],
        help_text=_("The status turns red while the newest set has fewer complete copies."),
    )  # fmt: skip
    target_age_hours = models.PositiveIntegerField(
        _("oldest allowed age in hours"), default=26, validators=[MinValueValidator(1)],
        help_text=_("The status turns red when the newest good set is older."),
    )  # fmt: skip
    retention = models.ForeignKey(
        Retention, models.PROTECT, null=True, blank=True, default=standard_retention, related_name="plans",
        verbose_name=_("retention"), help_text=_("Which sets stay. Empty: all of them."),
    )  # fmt: skip
    # When removing last looked at this plan, whether or not anything went.
    pruned_at = models.DateTimeField(_("last pruned"), null=True, blank=True, editable=False)
    # {destination's key: identifiers of the sets that it listed when removing last found nothing to doubt}.
    listed = models.JSONField(default=dict, blank=True, editable=False)
    retry_lost = models.BooleanField(
        _("try again after a lost worker"), default=True, help_text=_("Once for each planned time.")
    )
    # The planned time that was last turned into a run: what the tick advances by a conditional update.
    last_planned_at = models.DateTimeField(_("last planned time"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["system", "name"]
        permissions = [("run_plan", _("Can take backups")), ("prune_plan", _("Can remove old sets"))]
        constraints = [models.UniqueConstraint(fields=["system", "name"], name="one_plan_name_a_system")]

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.name}"

    def chosen(self) -> "models.QuerySet[Source]":
        """The sources that a set of it has: those of its profile, or those that were picked; in the set's order."""
        sources = self.sources.all()
        if self.profile is not None:
            sources = Source.objects.filter(system=self.system_id, tier__in=self.profile.tiers)
        return sources.filter(enabled=True).order_by("pk")

    @property
    def target_age(self) -> timedelta:
        return timedelta(hours=self.target_age_hours)

    def newest_good(self) -> "Set | None":
        """The newest complete set of this plan that has a complete copy, or None: of one whose copies are all damaged
        nothing comes back. What was saved before a restore is none: it holds what somebody wanted to be rid of."""
        sets = self.sets.complete().exclude(reason__in=["safety", "moment"]).exclude(apart=True)
        newest: Set | None = sets.filter(copies__state="complete").order_by("-started_at", "-pk").first()
        return newest
