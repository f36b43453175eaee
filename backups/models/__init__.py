"""Rows of the app: what is planned, what was taken, what was proven, what was recovered."""

from backups.models.approval import Approval
from backups.models.checklist import CheckPoint
from backups.models.drill import Drill, DrillCheck, DrillSchedule
from backups.models.keys import RecoveryKey
from backups.models.lock import Canary, Lock
from backups.models.logs import LogIncarnation, LogPlace, LogSegment, LogStream
from backups.models.plan import Destination, Plan, Source, Tier
from backups.models.profile import Profile
from backups.models.rebuild import Generation, Rebuild, Signer
from backups.models.recovery import Recovery
from backups.models.retention import Freeze, Leftover, Pin, Retention
from backups.models.rows import RowChange, RowComparison
from backups.models.set import Copy, Level, Part, Set
from backups.models.trial import Trial
from backups.models.verification import Verification

__all__ = [
    "Approval",
    "Canary",
    "CheckPoint",
    "Copy",
    "Destination",
    "Drill",
    "DrillCheck",
    "DrillSchedule",
    "Freeze",
    "Generation",
    "Leftover",
    "Level",
    "Lock",
    "LogIncarnation",
    "LogPlace",
    "LogSegment",
    "LogStream",
    "Part",
    "Pin",
    "Plan",
    "Profile",
    "Rebuild",
    "Recovery",
    "RecoveryKey",
    "Retention",
    "RowChange",
    "RowComparison",
    "Set",
    "Signer",
    "Source",
    "Tier",
    "Trial",
    "Verification",
]
