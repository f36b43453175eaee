"""Rows of the app: what is planned, what was taken, what was proven, what was recovered."""

from backups.models.keys import RecoveryKey
from backups.models.plan import Destination, Plan, Source, Tier
from backups.models.profile import Profile
from backups.models.recovery import Recovery
from backups.models.set import Copy, Level, Part, Set
from backups.models.verification import Verification

__all__ = [
    "Copy",
    "Destination",
    "Level",
    "Part",
    "Plan",
    "Profile",
    "Recovery",
    "RecoveryKey",
    "Set",
    "Source",
    "Tier",
    "Verification",
]
