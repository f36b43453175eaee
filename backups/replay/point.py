"""The column `point` of a recovery into a scratch server: which point in time, and what became of it."""

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from backups.logs.chain import Position
from backups.replay.plan import Plan, Target


@dataclass
class Point:
    """`source`: the primary key of the source whose state is wanted; that of the set may be another one of its server.

    `keep_minutes`: how long the scratch server stays to be looked at; `until`: the time then (ISO 8601). `wish`: what
    somebody asked for meanwhile: "store" or "end". `stored`: the primary key of the set that was made of it.
    """

    source: int
    moment: str = ""
    position: str = ""
    incarnation: str = ""
    words: str = ""
    keep_minutes: int = 0
    store: bool = False
    until: str = ""
    wish: str = ""
    stored: int | None = None
    # What was planned, and what was reached.
    stop: str = ""
    surely: str = ""
    atmost: str = ""
    reached: str = ""
    transactions: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    access: str = ""
    # {"base_bytes", "base_seconds", "log_bytes", "log_seconds"}: what later plans tell their time from.
    measured: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Point":
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def target(self) -> Target:
        if self.position:
            return Target(position=read_position(self.position), incarnation=self.incarnation)
        return Target(moment=datetime.fromisoformat(self.moment))

    def note(self, plan: Plan) -> None:
        self.stop = str(plan.stop)
        self.surely = plan.surely.isoformat() if plan.surely else ""
        self.atmost = plan.atmost.isoformat() if plan.atmost else ""


def read_position(text: str) -> Position:
    """`binlog.000012:4711`. Raises ValueError."""
    log, colon, offset = text.strip().rpartition(":")
    if not colon or not log or "/" in log or not offset.isdigit():
        raise ValueError(text)
    return Position(log, int(offset))
