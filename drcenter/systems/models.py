"""Protected applications, what was promised for them, and whom to call."""

import zoneinfo

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from drcenter.options import is_command_line
from drcenter.systems import control
from drcenter.systems.control.base import Control


def known_zone(name: str) -> None:
    """Raises ValidationError for a time zone that this machine does not know."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("There is no time zone of this name; Europe/Berlin is one."))


class System(models.Model):
    """A protected application."""

    slug = models.SlugField(
        _("key"), unique=True, max_length=60,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$", _("Lower-case letters, digits and hyphens."))],
        help_text=_("Part of every name in storage; it cannot be changed once sets exist."),
    )  # fmt: skip
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=60, default="Europe/Berlin", validators=[known_zone]
    )
    address = models.URLField(
        _("address"), blank=True, validators=[URLValidator(schemes=["http", "https"])],
        help_text=_("Of the application, as visitors have it: https://shop.example.org. Asked after a restore."),
    )  # fmt: skip
    pause_command = models.JSONField(
        _("stop commands"), default=list, blank=True, validators=[is_command_line],
        help_text=_('Run before a restore into production, in order: [["php", "artisan", "down"]].'),
    )  # fmt: skip
    resume_command = models.JSONField(
        _("start commands"), default=list, blank=True, validators=[is_command_line],
        help_text=_('Run after a restore that went well: [["php", "artisan", "up"]].'),
    )  # fmt: skip
    after_restore_command = models.JSONField(
        _("clean-up commands"), default=list, blank=True, validators=[is_command_line],
        help_text=_("Run between restore and start: caches, queued jobs from after the restored moment."),
    )  # fmt: skip
    commands_directory = models.CharField(_("directory of the commands"), max_length=500, blank=True)
    commands_user = models.CharField(_("user of the commands"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("system")
        verbose_name_plural = _("systems")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Halt(models.Model):
    """A way to stop the application before a restore over production, and to start it again."""

    system = models.ForeignKey(System, models.CASCADE, related_name="halts", verbose_name=_("system"))
    kind = models.CharField(_("way"), max_length=40, choices=control.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)
    order = models.PositiveSmallIntegerField(
        _("order"), default=10, help_text=_("The smallest number stops first, and starts last.")
    )
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("way to stop")
        verbose_name_plural = _("ways to stop")
        ordering = ["system", "order", "pk"]

    def __str__(self) -> str:
        return f"{self.system.slug}: {self.get_kind_display()}"

    def build(self) -> Control:
        """The way, with this row's options. Nothing is opened yet."""
        return control.build(self.kind, self.options)


class Target(models.Model):
    """How long a class of data may take to come back, and how much of it may be lost."""

    class DataClass(models.TextChoices):
        CRITICAL = "critical", _("critical data")
        APPLICATION = "application", _("application")
        WHOLE = "whole", _("whole system")

    system = models.ForeignKey(System, models.CASCADE, related_name="targets", verbose_name=_("system"))
    data_class = models.CharField(_("class"), max_length=20, choices=DataClass.choices)
    rto_minutes = models.PositiveIntegerField(_("RTO in minutes"), validators=[MinValueValidator(1)])
    rpo_minutes = models.PositiveIntegerField(_("RPO in minutes"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        constraints = [models.UniqueConstraint(fields=["system", "data_class"], name="one_target_a_class")]

    def __str__(self) -> str:
        return f"{self.get_data_class_display()}: RTO {self.rto_minutes} min, RPO {self.rpo_minutes} min"


class Contact(models.Model):
    """Somebody to call about a system."""

    system = models.ForeignKey(System, models.CASCADE, related_name="contacts", verbose_name=_("system"))
    name = models.CharField(_("name"), max_length=120)
    role = models.CharField(_("role"), max_length=120, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    phone = models.CharField(_("telephone"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
