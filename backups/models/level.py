"""How much is known of a set."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Level(models.TextChoices):
    """Each level includes the ones before it."""

    STORED = "stored", _("stored")
    INTACT = "intact", _("intact")
    PROVEN = "proven", _("proven")


RANK = {"": 0, Level.STORED.value: 1, Level.INTACT.value: 2, Level.PROVEN.value: 3}


def at_least(reached: str, wanted: str) -> bool:
    """True if `reached` is `wanted` or better; "" is below all."""
    return RANK[reached] >= RANK[wanted]


def lower(one: str, other: str) -> str:
    """The lesser of two levels."""
    return one if RANK[one] <= RANK[other] else other
