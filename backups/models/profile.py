"""Profiles: named choices of tiers."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from backups.models.plan import Tier
from drcenter.stored import in_english

__all__ = ["BUILT_IN", "EXTERNAL_ONLY", "Profile"]

EXTERNAL_ONLY = "external"
_BASIC = ("application", "database", "configuration", "storage")


@dataclass(frozen=True)
class BuiltIn:
    """A profile that every installation has: its name for people, and its tiers."""

    label: Any
    tiers: tuple[str, ...]


BUILT_IN = {
    "golden": BuiltIn(_("Golden"), _BASIC),
    "comprehensive": BuiltIn(_("Comprehensive"), (*_BASIC, "system", "scripts", "git")),
    "ultimate": BuiltIn(_("Ultimate"), tuple(Tier.values)),
    EXTERNAL_ONLY: BuiltIn(_("External services only"), ("external",)),
}


def valid_tiers(value: object) -> None:
    """Raises ValidationError unless it is a list of tiers, at least one."""
    if not isinstance(value, list) or not value or set(value) - set(Tier.values):
        raise ValidationError(_("Choose at least one tier."))


class Profile(models.Model):
    """Which tiers a plan takes: every enabled source of these tiers, also one that is added later."""

    slug = models.CharField(
        _("short name"), max_length=40, unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")],
        help_text=_("In small letters, digits and hyphens: manage.py backup run SYSTEM --profile NAME."),
    )  # fmt: skip
    name = models.CharField(_("name"), max_length=80)
    tiers = models.JSONField(_("tiers"), default=list, validators=[valid_tiers])
    built_in = models.BooleanField(_("built in"), default=False, editable=False)

    class Meta:
        verbose_name = _("profile")
        verbose_name_plural = _("profiles")
        ordering = ["pk"]

    def __str__(self) -> str:
        return str(BUILT_IN[self.slug].label) if self.built_in and self.slug in BUILT_IN else self.name

    @property
    def tier_labels(self) -> list[str]:
        return [str(Tier(tier).label) for tier in Tier.values if tier in self.tiers]


def ensure_built_in(using: str = "default", **_signal: Any) -> None:
    """After each migration: the built-in profiles are there, and have the tiers that this version gives them."""
    for slug, one in BUILT_IN.items():
        with in_english():
            given = {"name": str(one.label), "tiers": list(one.tiers), "built_in": True}
        Profile.objects.using(using).update_or_create(slug=slug, defaults=given)
