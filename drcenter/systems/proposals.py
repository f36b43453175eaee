"""Targets to choose from: what is usual, as (RTO, RPO) in minutes for each class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

HOUR = 60


@dataclass(frozen=True)
class Proposal:
    label: Any
    # {class: (RTO, RPO)}, in minutes.
    targets: Mapping[str, tuple[int, int]]


PROPOSALS: Mapping[str, Proposal] = {
    "classes": Proposal(
        _("By class: critical data 1 h, losing 1 h at most; application 4 h and 24 h; whole system 8 h and 24 h"),
        {
            "critical": (1 * HOUR, 1 * HOUR),
            "application": (4 * HOUR, 24 * HOUR),
            "whole": (8 * HOUR, 24 * HOUR),
        },
    ),
    "strict": Proposal(
        _("Strict: everything back within 2 h, losing 1 h at most"),
        dict.fromkeys(("critical", "application", "whole"), (2 * HOUR, 1 * HOUR)),
    ),
    "usual": Proposal(
        _("Usual: everything back within 4 h, losing 24 h at most"),
        dict.fromkeys(("critical", "application", "whole"), (4 * HOUR, 24 * HOUR)),
    ),
}  # fmt: skip
