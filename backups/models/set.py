"""Sets, their parts, and their copies."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backups.models.level import RANK, Level, lower
from backups.models.plan import Destination, Plan, Source, Tier
from backups.storage.succession import Link
from drcenter.jobs.models import Job
from drcenter.stored import shown
from drcenter.systems.models import System

__all__ = ["Copy", "Level", "Part", "Set"]


class SetQuerySet(models.QuerySet["Set"]):
    def complete(self) -> "SetQuerySet":
        """Those that exist in storage: a manifest was written."""
        return self.filter(state=Set.State.COMPLETE)

    def newest_number(self) -> int:
        """The highest number that was ever given to one of them; 0: none was."""
        return int(self.aggregate(models.Max("number"))["number__max"] or 0)

    def newest_usable(self) -> "Set | None":
        """The newest complete one with a copy that is not damaged.

        What was saved before a restore is never meant: it holds what somebody wanted to be rid of. A set of another
        DR Center is meant only where there is none of ours, and one of some tables alone where there is no whole one.
        """
        sets = self.complete().exclude(reason__in=Set.ASIDE)
        usable = (
            sets.filter(copies__state=Copy.State.COMPLETE).order_by("foreign", "-moment", "-pk").distinct()
        )
        return usable.filter(partial="").first() or usable.first()

    def ours(self) -> "SetQuerySet":
        """Without those that another DR Center keeps at the same destination."""
        return self.filter(foreign=False)


class Set(models.Model):
    """One backup taken by a plan. Read-only for people."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        COMPLETE = "complete", _("complete")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        LOST = "lost", _("lost")
        # It was complete, and retention has let it go: no copy of it exists any more.
        REMOVED = "removed", _("removed")

    class Reason(models.TextChoices):
        MANUAL = "manual", _("by hand")
        SCHEDULE = "schedule", _("schedule")
        DEPLOYMENT = "deployment", _("before a deployment")
        SAFETY = "safety", _("before a restore")
        MOMENT = "moment", _("of a moment before, replayed")

    # What no plan asked for: they say nothing of how it stands, and are meant only where they are named.
    ASIDE: ClassVar = (Reason.SAFETY, Reason.MOMENT)

    system = models.ForeignKey(System, models.PROTECT, related_name="sets", verbose_name=_("system"))
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, related_name="sets", verbose_name=_("plan"))
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    # The folder below the system's key, once a try has begun; unique for each attempt.
    identifier = models.CharField(_("set"), max_length=60, blank=True, db_index=True)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices, default=Reason.MANUAL)
    planned_at = models.DateTimeField(_("planned time"), null=True, blank=True)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.WAITING, db_index=True
    )
    level = models.CharField(_("level"), max_length=10, choices=Level.choices, blank=True)
    # Why it is not better: a missing right, no fitting server. Shown in red when `capped`.
    level_reason = models.TextField(_("why not better"), blank=True)
    capped = models.BooleanField(_("the dump is incomplete"), default=False)
    findings = models.JSONField(_("findings"), default=list, blank=True)
    encrypted = models.BooleanField(_("encrypted"), default=True)
    recipients = models.JSONField(_("recipients"), default=list, blank=True)
    # What was asked for; empty: everything that the plan's sources say.
    tables = models.JSONField(_("only these tables"), default=list, blank=True)
    # Other tables were asked for than the plan takes: it says nothing of how the plan stands.
    apart = models.BooleanField(_("not what the plan takes"), default=False)
    # How many tables of how many, and which; empty: its sources are whole.
    partial = models.TextField(_("only a part"), blank=True)
    created_at = models.DateTimeField(_("requested at"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True, db_index=True)
    moment = models.DateTimeField(
        _("moment"),
        null=True,
        blank=True,
        help_text=_("What was committed before this moment is in the set."),
    )
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    plain_size = models.BigIntegerField(_("size"), default=0)
    stored_size = models.BigIntegerField(_("stored size"), default=0)
    # What the details and the signature were when it was published: without it a replaced object would be believed.
    details_size = models.BigIntegerField(_("stored size"), null=True, editable=False)
    details_sha256 = models.CharField(
        _("SHA-256 of the stored bytes"), max_length=64, blank=True, editable=False
    )
    signing_key = models.CharField(max_length=64, blank=True, editable=False)
    checksums_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    # The place in the order of the system's sets (succession.py); never given twice.
    number = models.PositiveIntegerField(_("number"), null=True, editable=False)
    # Without these it does not restore: it refers to objects in their folders (backups.storage.references).
    needs = models.ManyToManyField(
        "self", symmetrical=False, related_name="needed_by", blank=True, verbose_name=_("needs"), editable=False,
        help_text=_("Earlier sets without which this one cannot be restored."),
    )  # fmt: skip
    # {source: {"from": …, "to": …, "snapshot": bool, "taken": …, "position": {…}}}, ISO 8601: between these times its
    # data were read; with `snapshot` all of them are of one moment, between "from" and "taken", which is that `position`
    # of the server's log (Snapshot.position; empty where there is no log). A replay of the log starts there; the details,
    # which have it too, are encrypted.
    moments = models.JSONField(_("moments of the sources"), default=dict, blank=True, editable=False)
    # Seconds after `moment` by which every source that has one moment had taken it; None: none has, or it is not known.
    spread = models.FloatField(_("moments within seconds"), null=True, blank=True, editable=False)
    # What it was made with: the plan, the sources and the engines (backups/made_with.py). {} where nobody knows.
    made_with = models.JSONField(default=dict, blank=True, editable=False)
    removed_at = models.DateTimeField(_("removed at"), null=True, blank=True)
    # {source: digest of its witness}, of plans that store unchanged parts once: what an earlier proof has shown.
    witnesses = models.JSONField(default=dict, blank=True, editable=False)
    timings = models.JSONField(_("timings"), default=dict, blank=True)
    message = models.TextField(_("message"), blank=True)
    hint = models.TextField(_("hint"), blank=True)
    # Found in storage, and signed with a key that is not ours: it can be read, and is never changed or removed.
    foreign = models.BooleanField(_("of another DR Center"), default=False, editable=False)
    # The newest record beside it in storage (backups/storage/recording.py): what a rebuilt catalogue would know.
    recorded_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = SetQuerySet.as_manager()

    class Meta:
        verbose_name = _("set")
        verbose_name_plural = _("sets")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [
            ("verify_set", _("Can verify sets")),
            ("copy_set", _("Can copy sets to other destinations")),
            ("restore_beside", _("Can restore beside the original")),
            ("restore_production", _("Can restore over production")),
        ]
        constraints = [
            # A tick that comes twice plans one run: the planned time is the key.
            models.UniqueConstraint(
                fields=["plan", "planned_at"],
                condition=models.Q(planned_at__isnull=False),
                name="one_set_a_planned_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.system.slug}/{self.identifier or f'#{self.pk}'}"

    @property
    def partial_shown(self) -> str:
        """How much of how much it is, in the language of the reader; "" for a whole one."""
        return "; ".join(shown(piece) for piece in self.partial.split("; "))

    @property
    def prefix(self) -> str:
        """The folder of the set in every destination, with a slash at the end."""
        return f"{self.system.slug}/{self.identifier}/"

    @property
    def link(self) -> Link:
        """Its place in the succession, as far as the catalogue knows it."""
        return Link(self.identifier, self.number or 0, self.checksums_sha256)

    def best_level(self) -> str:
        """What its complete copies have shown; *stored* at most when the dump lacks something, and never better than
        the sets that it needs."""
        complete = self.copies.filter(state=Copy.State.COMPLETE).values_list("level", flat=True)
        best = max(complete, key=RANK.__getitem__, default="")
        if self.capped:
            best = lower(best, Level.STORED.value)
        return min([best, *self.needs.values_list("level", flat=True)], key=RANK.__getitem__)

    def best_copy(self) -> "Copy | None":
        """The complete copy of which most is known; None where there is none."""
        complete = self.copies.filter(state=Copy.State.COMPLETE).select_related("destination")
        return max(complete, key=lambda copy: (RANK[copy.level], -copy.pk), default=None)

    @property
    def lack(self) -> str:
        """What the dump lacks, in a sentence; "" if nothing. It caps the set for ever, whatever a proof shows."""
        return next((f"{one['source']}: {one['message']}" for one in self.findings if one["caps"]), "")

    @property
    def age_seconds(self) -> float | None:
        return (timezone.now() - self.moment).total_seconds() if self.moment else None


class Part(models.Model):
    """One stored object of a set."""

    set = models.ForeignKey(Set, models.CASCADE, related_name="parts", verbose_name=_("set"))
    source = models.ForeignKey(
        Source, models.SET_NULL, null=True, related_name="parts", verbose_name=_("source")
    )
    source_name = models.CharField(_("source name"), max_length=60)
    order = models.PositiveIntegerField(_("order of restore"))
    name = models.CharField(_("name"), max_length=80)
    suffix = models.CharField(_("kind of bytes"), max_length=20)
    engine = models.CharField(_("engine"), max_length=40)
    tier = models.CharField(_("tier"), max_length=20, choices=Tier.choices)
    key = models.CharField(_("name in storage"), max_length=300)
    plain_size = models.BigIntegerField(_("size"))
    plain_blake3 = models.CharField(_("BLAKE3 of the plain bytes"), max_length=64, blank=True)
    stored_size = models.BigIntegerField(_("stored size"))
    stored_sha256 = models.CharField(_("SHA-256 of the stored bytes"), max_length=64)
    seconds = models.FloatField(_("seconds"), default=0)

    class Meta:
        verbose_name = _("part")
        verbose_name_plural = _("parts")
        ordering = ["set", "order"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["set", "order"], name="one_part_an_order")]

    def __str__(self) -> str:
        return self.key


class Copy(models.Model):
    """The set at one destination."""

    class State(models.TextChoices):
        # Asked for, or its destination is away: it is made up for (backups/places/copies.py), as is one that failed.
        WAITING = "awaited", _("waits for its destination")
        WRITING = "writing", _("being written")
        COMPLETE = "complete", _("complete")
        FAILED = "failed", _("failed")
        DAMAGED = "damaged", _("damaged")
        # Retention has let it go; perhaps a part of it is still there.
        REMOVING = "removing", _("being removed")
        REMOVED = "removed", _("removed")

    set = models.ForeignKey(Set, models.CASCADE, related_name="copies", verbose_name=_("set"))
    destination = models.ForeignKey(
        Destination, models.PROTECT, related_name="copies", verbose_name=_("destination")
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WRITING)
    level = models.CharField(_("level"), max_length=10, choices=Level.choices, blank=True)
    message = models.TextField(_("message"), blank=True)
    # Names of objects that people and a restore without this product need (restore.sh, RESTORE.md, log.txt), and that
    # were damaged or missing when they were last looked at. The data are as good as `level` says.
    spoiled = models.JSONField(_("damaged beside the data"), default=list, blank=True, editable=False)
    verified_at = models.DateTimeField(_("last verified"), null=True, blank=True)
    # The job that makes up for it.
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    # The newest record beside this copy (backups/storage/recording.py).
    recorded_at = models.DateTimeField(null=True, blank=True, editable=False)
    # As the store said when it was last asked: until then nobody can remove it.
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)

    class Meta:
        verbose_name = _("copy")
        verbose_name_plural = _("copies")
        ordering = ["set", "destination"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["set", "destination"], name="one_copy_a_destination")]

    def __str__(self) -> str:
        return f"{self.set} @ {self.destination}"
