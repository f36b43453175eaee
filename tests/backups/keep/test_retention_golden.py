"""Five years, day by day, with gaps, under every combination of the rules that people ask for.

Each day a set is taken, or not, and what the rules let go is gone: nothing can be made up for later. The golden file
says what is there at the end, and the digest of what was there on every day. Write it anew, and read the difference:

    python -m tests.backups.keep.test_retention_golden
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backups.keep.retention import Item, Rules, decide

GOLDEN = Path(__file__).parents[1] / "golden" / "retention.json"
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = 5 * 365 + 1


def combinations() -> Iterator[tuple[str, Rules]]:
    for daily, weekly, monthly, yearly in islice(product((0, 7), (0, 4), (0, 12), (0, 5)), 1, None):
        yield f"{daily} daily, {weekly} weekly, {monthly} monthly, {yearly} yearly", Rules(
            daily=daily, weekly=weekly, monthly=monthly, yearly=yearly
        )  # fmt: skip
    yield "30 daily, 12 monthly", Rules(daily=30, monthly=12)
    yield "14 days", Rules(days=14)
    yield "last 10", Rules(last=10)


def taken_on(day: int) -> bool:
    """Two outages (a week and seven weeks), each 13th day is missed, the plan rests one August."""
    return day % 13 != 5 and not 200 <= day < 207 and not 700 <= day < 749 and not 1308 <= day < 1339


def simulate(rules: Rules) -> tuple[list[Item], str]:
    """What is there at the end, and the digest of the days."""
    items: list[Item] = []
    digest = hashlib.sha256()
    for day in range(DAYS):
        local = datetime(2022, 1, 1, 2) + timedelta(days=day)
        now = local.replace(tzinfo=BERLIN).astimezone(UTC)
        if taken_on(day):
            items.append(Item(day, now, 3, "proven"))
        kept = {
            one.id for one in decide(items, rules, now + timedelta(minutes=20), "Europe/Berlin") if one.keep
        }
        items = [item for item in items if item.id in kept]
        digest.update(f"{day} {sorted(kept)}\n".encode())
    return items, digest.hexdigest()


def found(rules: Rules) -> dict:
    items, digest = simulate(rules)
    days = [f"{item.moment.astimezone(BERLIN):%a %Y-%m-%d}" for item in items]
    shown = days if len(days) <= 40 else [*days[:3], f"… {len(days) - 6} more …", *days[-3:]]
    return {"kept": len(days), "days": shown, "every day": digest[:16]}


def write() -> None:
    GOLDEN.parent.mkdir(exist_ok=True)
    found_now = {name: found(rules) for name, rules in combinations()}
    GOLDEN.write_text(json.dumps(found_now, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(
    ("name", "rules"), list(combinations()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_five_years(name, rules):
    assert found(rules) == json.loads(GOLDEN.read_text())[name]


def test_the_golden_file_is_as_people_would_reckon():
    """7/4/12/5 on 2026-12-31, a Thursday without a set, by hand."""
    years = [
        "Sat 2022-12-31",
        "Fri 2023-12-01",
        "Tue 2024-12-31",
        "Wed 2025-12-31",
    ]  # 2023 ends in the outage
    months = ["Sat 2026-01-31", "Sat 2026-02-28", "Tue 2026-03-31", "Thu 2026-04-30", "Sun 2026-05-31"]
    months += ["Tue 2026-06-30", "Fri 2026-07-31", "Mon 2026-08-31", "Wed 2026-09-30", "Sat 2026-10-31"]
    months += ["Mon 2026-11-30"]
    weeks = ["Sun 2026-12-13", "Sun 2026-12-20"]
    days = ["Thu 2026-12-24", "Fri 2026-12-25", "Sat 2026-12-26", "Sun 2026-12-27"]
    days += ["Mon 2026-12-28", "Tue 2026-12-29", "Wed 2026-12-30"]
    golden = json.loads(GOLDEN.read_text())["7 daily, 4 weekly, 12 monthly, 5 yearly"]["days"]
    assert golden == [*years, *months, *weeks, *days]


if __name__ == "__main__":
    write()
