"""Times as people type them, on the clock of the system's place."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.replay import moments
from backups.replay.moments import Twice
from drcenter.errors import OperationFailed

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-17 14:00:00", datetime(2025, 6, 17, 12, tzinfo=UTC)),
        ("2025-06-17 14:00", datetime(2025, 6, 17, 12, tzinfo=UTC)),
        ("2025-06-17T14:00:00.25", datetime(2025, 6, 17, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2025-06-17 14:00:00Z", datetime(2025, 6, 17, 14, tzinfo=UTC)),
        ("2025-06-17 14:00:00 +0530", datetime(2025, 6, 17, 8, 30, tzinfo=UTC)),
        (" 2025-12-17 14:00:00 ", datetime(2025, 12, 17, 13, tzinfo=UTC)),
        ("2025-10-26 02:30:00+02:00", datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),
        ("2025-10-26 02:30:00+01:00", datetime(2025, 10, 26, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_that_of_the_zone(text: str, expected: datetime) -> None:
    assert moments.read(text, BERLIN, NOW) == expected


def test_the_hour_that_is_there_twice_is_asked_for() -> None:
    with pytest.raises(Twice) as refused:
        moments.read("2025-10-26 02:30:00", BERLIN, NOW)
    assert refused.value.first == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert refused.value.second == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)
    # What the hint says can be typed.
    for word in ("2025-10-26 02:30:00+0200", "2025-10-26 02:30:00+0100"):
        assert word in refused.value.hint
        moments.read(word, BERLIN, NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-03-30 02:30:00", "never there"),
        ("2026-06-17 14:00:00", "future"),
        ("yesterday", "is no time"),
        ("2025-02-30 14:00:00", "of the calendar"),
        ("2025-06-17 25:00:00", "of the calendar"),
        ("", "is no time"),
        ("17.06.2025 14:00", "is no time"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(OperationFailed, match=said) as refused:
        moments.read(text, BERLIN, NOW)
    assert refused.value.hint


@given(st.datetimes(datetime(2000, 1, 1), datetime(2025, 12, 30)))
def test_every_moment_can_be_typed_with_its_offset(wall: datetime) -> None:
    moment = wall.replace(tzinfo=UTC)
    assert moments.read(moment.astimezone(BERLIN).isoformat(" "), BERLIN, NOW) == moment
