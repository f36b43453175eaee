"""Sizes, times and durations as people say them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from drcenter.panel import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "under 0.1 s"),
        (0, "0 s"),
        (8, "8 s"),
        (8.25, "8.2 s"),
        (59, "59 s"),
        (192, "3 min 12 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_ages():
    assert words.ago(None) == "never"
    assert words.ago(timezone.now()) == "just now"
    assert words.ago(timezone.now() - timedelta(hours=3, minutes=10)) == "3\u00a0hours ago"


def test_a_time_names_its_zone_for_machines():
    with timezone.override("Europe/Berlin"):
        text = words.when(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    assert "29 Mar 2026, 03:30" in text and "+02:00" in text and "CEST" in text


def test_german():
    with translation.override("de"), timezone.override("Europe/Berlin"):
        assert "20. Nov" in words.when(datetime(2026, 11, 20, 1, 30, tzinfo=UTC))
        assert words.size(1_500_000) == "1,4 MiB"
