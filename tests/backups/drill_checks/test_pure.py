"""What checks decide, and what a restored application is started with."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backups.drill_checks import checks
from backups.drill_checks._environment import FIXED, KEPT, overrides
from backups.drill_checks.http import judged
from backups.drill_checks.row_counts import wrong
from backups.drill_checks.sql import holds
from backups.drills.trend import HEIGHT, WIDTH, trend
from backups.witness import Content, Witness


@pytest.mark.parametrize(
    ("found", "comparison", "expected", "holds_"),
    [
        (100, "equal", "100", True), (100, "equal", "100.0", True), (Decimal("1.50"), "equal", "1.5", True),
        ("100", "equal", "100", True), ("a", "equal", "a", True), ("a", "equal", "b", False),
        (None, "equal", "NULL", True), (None, "least", "0", False), (None, "most", "0", False),
        (99, "least", "100", False), (100, "least", "100", True), (101, "most", "100", False),
        (9, "most", "10", True), ("2026-11-20", "least", "2026-11-01", True), (True, "equal", "1", True),
        (float("nan"), "equal", "1", False), (b"abc", "equal", "abc", True), (1, "unequal", "2", True),
    ],
)  # fmt: skip
def test_an_answer_stands_to_what_was_expected(found, comparison, expected, holds_) -> None:
    assert holds(found, comparison, expected) is holds_


WITNESS = Witness(
    contents={"public.orders": Content(100, "x"), "a.t": Content(1, "x"), "b.t": Content(2, "x")}
)


@pytest.mark.parametrize(
    ("counted", "before", "faults"),
    [
        ({"orders": 100}, {}, 0), ({"public.orders": 100}, {}, 0), ({"orders": 99}, {}, 1), ({"orders": 0}, {}, 2),
        ({"orders": 100}, {"orders": 125}, 0), ({"orders": 100}, {"orders": 126}, 1), ({"t": 7}, {}, 0),
        ({"orders": 100}, {"orders": 0}, 0), ({"a.t": 7}, {}, 1),
    ],
)  # fmt: skip
def test_rows_that_are_missing_or_were_lost(counted, before, faults) -> None:
    assert len(wrong(counted, WITNESS, before, 20)) == faults


def test_an_answer_by_http() -> None:
    assert judged(200, "all well", 200, "well").ok
    assert not judged(200, "all well", 200, "ill").ok and not judged(500, "all well", 200, "").ok


def test_everything_that_leads_out_or_lets_in_is_overridden() -> None:
    names = [
        "APP_KEY", "APP_NAME", "DB_PASSWORD", "MAIL_HOST", "MAIL_PASSWORD", "RETELL_API_KEY", "STRIPE_SECRET",
        "SENTRY_LARAVEL_DSN", "SLACK_WEBHOOK_URL", "AWS_ACCESS_KEY_ID", "REDIS_HOST", "TWILIO_ACCOUNT_SID", "some_token",
        "QUEUE_CONNECTION", "CACHE_DRIVER", "DATABASE_URL", "PUSHER_APP_CLUSTER", "FEATURE_FLAG",
    ]  # fmt: skip
    made = overrides(names, {"DB_CONNECTION": "sqlite", "DB_DATABASE": "/drill/database/x"})
    assert {"APP_KEY", "APP_NAME", "FEATURE_FLAG"}.isdisjoint(made)
    assert made["MAIL_HOST"] == made["REDIS_HOST"] == made["SENTRY_LARAVEL_DSN"] == "127.0.0.1"
    assert made["RETELL_API_KEY"] == made["some_token"] == made["AWS_ACCESS_KEY_ID"] == "drill"
    assert (made["QUEUE_CONNECTION"], made["MAIL_MAILER"], made["DATABASE_URL"]) == ("null", "array", "")
    assert made["DB_DATABASE"] == "/drill/database/x" and made["DB_PASSWORD"] == "drill"


@given(some.lists(some.from_regex(r"[A-Z_]{1,12}(HOST|URL|KEY|SECRET|TOKEN|PASSWORD|DSN)", fullmatch=True)))
def test_no_credential_of_any_name_is_left(names) -> None:
    made = overrides(names, {})
    assert all(name in made or name in KEPT for name in names)
    assert all(made[name] in {"127.0.0.1", "drill", *FIXED.values()} for name in names if name not in KEPT)


def test_every_check_has_a_label_a_form_and_one_line() -> None:
    assert set(checks()) == {"sql", "row_counts", "laravel", "http", "command"}
    for plugin in checks().values():
        assert plugin.label and plugin({}).options is not None


def test_a_course_needs_two_drills_and_stays_on_its_chart() -> None:
    assert trend([("1", 5.0, True)], 10) is None
    assert trend([("1", 1.0, True), ("2", 2.0, True)], 1_000_000).target is None


@given(
    some.lists(some.floats(min_value=0, max_value=1e6), min_size=2, max_size=30),
    some.none() | some.floats(0, 1e6),
)
def test_every_mark_is_on_the_chart(seconds, target) -> None:
    chart = trend([(str(number), one, True) for number, one in enumerate(seconds)], target)
    assert chart is not None and len(chart.marks) == len(seconds)
    heights = [one.y for one in chart.marks] + ([chart.target] if chart.target is not None else [])
    assert all(0 <= one.x <= WIDTH for one in chart.marks) and all(0 <= one <= HEIGHT for one in heights)
