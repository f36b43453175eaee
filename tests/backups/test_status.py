"""What counts as protected, and who may read it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from backups import standing
from backups.admin.plans import plan_verdict
from backups.models import Copy, Level, Plan, Set
from backups.status import report
from backups.watch import watch_age
from drcenter.audit.models import Entry
from drcenter.jobs.models import Job, State
from drcenter.notify.models import Channel, Delivery
from drcenter.panel.look import Tone
from drcenter.systems.models import System
from tests.backups.planning import make_plan, make_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path, level=Level.PROVEN, target_age_hours=26)


def now():
    return report(timezone.now())


def only_plan():
    return now()["systems"][0]["plans"][0]


def test_a_good_set(plan):
    make_set(plan, hours=2)
    found = only_plan()
    assert now()["ok"] is True
    assert (found["ok"], found["reason"], found["level"], found["wanted_level"]) == (
        True,
        "",
        "proven",
        "proven",
    )
    assert 7190 < found["age_seconds"] < 7300
    assert found["target_age_seconds"] == 26 * 3600
    assert datetime.fromisoformat(found["moment"]).tzinfo is not None
    assert found["set"] == "set-0"


SHORTCOMINGS = [
    ({"hours": 27}, "older than 26 hours"),
    (
        {"level": Level.INTACT, "level_reason": "No server of this version."},
        "only intact, not proven: No server",
    ),
    ({"level": ""}, "only unverified"),
    (
        {"capped": True, "level": Level.STORED, "level_reason": "The right TRIGGER is missing."},
        "TRIGGER is missing",
    ),
]


@pytest.mark.parametrize(("fields", "reason"), SHORTCOMINGS, ids=[case[1] for case in SHORTCOMINGS])
def test_what_is_not_good_enough(plan, fields, reason):
    make_set(plan, **fields)
    assert (only_plan()["ok"], now()["ok"]) == (False, False)
    assert reason in only_plan()["reason"]


def test_a_plan_that_never_ran(plan):
    found = only_plan()
    assert (found["ok"], found["reason"], found["set"], found["age_seconds"], found["last_run"]) == (
        False, "There is no set yet.", None, None, None,
    )  # fmt: skip


def test_a_damaged_copy_is_no_copy(plan):
    make_set(plan).copies.update(state=Copy.State.FAILED)
    assert "no copy" in only_plan()["reason"]


def test_a_damaged_newest_set_is_called_damaged(plan):
    """Its level is taken away with the damage: that it is unverified would be the lesser half."""
    make_set(plan, hours=5)
    newest = make_set(plan, level="")
    newest.copies.update(state=Copy.State.DAMAGED, message="A byte is wrong.")
    assert (now()["ok"], only_plan()["reason"]) == (
        False, "The newest set is damaged, and has no other copy: here: A byte is wrong.",
    )  # fmt: skip


@pytest.mark.parametrize("state", [Set.State.FAILED, Set.State.LOST])
def test_a_last_run_that_went_wrong_is_not_ok(plan, state):
    make_set(plan, hours=5)
    bad = make_set(plan, hours=1, state=state, message="The disk is gone.")
    assert (now()["ok"], only_plan()["set"]) == (False, "set-0")
    assert only_plan()["reason"] == f"The last run is {bad.get_state_display()}: The disk is gone."
    # One that runs has not ended, and one that somebody stopped tells nothing.
    make_set(plan, state=Set.State.RUNNING)
    make_set(plan, state=Set.State.CANCELLED)
    assert only_plan()["ok"] is False
    make_set(plan, hours=0)
    assert only_plan()["ok"] is True


@pytest.mark.parametrize("state", [Set.State.COMPLETE, Set.State.FAILED])
def test_a_set_saved_before_a_restore_is_none_of_the_plan(plan, state):
    good = make_set(plan, hours=5)
    make_set(plan, hours=1, level="", state=state, reason=Set.Reason.SAFETY)
    found = only_plan()
    assert (found["ok"], found["set"], found["last_run"]["state"]) == (True, good.identifier, "complete")
    here = standing.of_plan(plan, timezone.now())
    assert (here.newest, here.last, here.failed, here.reached) == (good, good, False, True)


def test_an_older_good_set_does_not_hide_that_the_newest_one_is_not(plan):
    make_set(plan, hours=5)
    make_set(plan, hours=1, level=Level.INTACT)
    assert only_plan()["ok"] is False


def test_sets_that_are_being_proven_do_not_count(plan):
    make_set(plan, hours=5)
    job = Job.objects.create(
        kind="x", subject=1, target="t", title="x", requested_by="y", state=State.RUNNING
    )
    make_set(plan, hours=1, level=Level.INTACT, job=job)
    assert (only_plan()["ok"], only_plan()["set"]) == (True, "set-0")
    Job.objects.update(state=State.FAILED)
    assert (only_plan()["ok"], only_plan()["set"]) == (False, "set-1")


def test_plans_that_are_off_count_for_nothing(plan, tmp_path):
    make_set(plan)
    make_plan(tmp_path, name="old", enabled=False)
    assert now()["ok"] is True
    assert {one["plan"]: one["ok"] for one in now()["systems"][0]["plans"]} == {"daily": True, "old": None}
    Plan.objects.update(enabled=False)
    assert (now()["ok"], now()["systems"][0]["reason"]) == (False, "No plan of this system is switched on.")


def test_nothing_protected_is_not_ok():
    assert (now()["ok"], now()["reason"]) == (False, "No system is protected yet.")
    System.objects.create(slug="bare", name="Bare")
    assert now()["ok"] is False


def test_a_clock_set_back_gives_no_negative_age(plan):
    make_set(plan, hours=-5)
    assert (only_plan()["age_seconds"], only_plan()["ok"]) == (0, True)


class TestApi:
    TOKEN = "a-token-of-the-monitoring"

    @pytest.fixture
    def get(self, client, settings, monkeypatch):
        settings.API_TOKEN = "env:STATUS_TOKEN"
        monkeypatch.setenv("STATUS_TOKEN", self.TOKEN)

        def get(header=f"Bearer {self.TOKEN}", query=""):
            return client.get(
                reverse("backup-status") + query, headers={"Authorization": header} if header else {}
            )

        return get

    def test_with_the_token(self, get, plan):
        response = get()
        assert reverse("backup-status") == "/api/backup-status"
        assert response.status_code == 200
        assert response.json()["systems"][0]["system"] == "shop"
        assert "no-store" in response.headers["Cache-Control"]
        assert get(f"bearer  {self.TOKEN} ").status_code == 200

    def test_strict_answers_503_when_something_is_not_ok(self, get, plan):
        assert get(query="?strict=1").status_code == 503
        make_set(plan)
        assert get(query="?strict=1").status_code == 200
        make_set(plan, state=Set.State.FAILED)
        response = get(query="?strict=1")
        assert (response.status_code, response.json()["ok"]) == (503, False)

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic a-token-of-the-monitoring",
            "Bearer ü€",
            "Bearer a-token",
        ],
    )
    def test_without_it(self, get, plan, header):
        response = get(header)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "shop" not in response.content.decode()

    def test_nobody_may_read_it_while_no_token_is_set(self, get, settings, monkeypatch):
        monkeypatch.setenv("STATUS_TOKEN", "")
        assert get("Bearer ").status_code == 403
        settings.API_TOKEN = ""
        response = get("Bearer ")
        assert response.status_code == 403
        assert "DRC_API_TOKEN_REFERENCE" in response.json()["error"]
        settings.API_TOKEN = "env:NOT_SET_ANYWHERE"
        assert "NOT_SET_ANYWHERE is not set" in get().json()["error"]

    def test_it_only_reads(self, get, client):
        assert client.post(reverse("backup-status")).status_code == 405


class TestWatch:
    @pytest.fixture(autouse=True)
    def channel(self):
        Channel.objects.create(name="ops", url="env:NOWHERE", language="en")

    def told(self):
        return [(one.event, one.title) for one in Delivery.objects.order_by("pk")]

    def test_people_hear_once_that_it_is_overdue_and_once_that_it_is_good_again(self, plan, time_machine):
        make_set(plan, hours=1)
        watch_age()
        assert self.told() == []
        time_machine.shift(timedelta(hours=26))
        watch_age()
        watch_age()
        assert self.told() == [("failure", "shop: daily: the backup is overdue")]
        assert "shop/set-0, is older than 26 hours" in Delivery.objects.get().body
        make_set(plan, hours=1, level=Level.INTACT)
        watch_age()
        assert len(self.told()) == 1
        make_set(plan, hours=0)
        watch_age()
        watch_age()
        assert self.told()[1:] == [("recovered", "shop: daily: the backups are good again")]
        assert list(Entry.objects.order_by("pk").values_list("action", flat=True)) == [
            "backups.overdue", "backups.good_again",
        ]  # fmt: skip

    def test_a_plan_that_never_ran_is_overdue_after_its_target_age(self, plan, time_machine):
        watch_age()
        time_machine.shift(timedelta(hours=27))
        watch_age()
        assert "no good set at all" in Delivery.objects.get().body

    def test_plans_that_are_off_are_not_watched(self, plan, time_machine):
        Plan.objects.update(enabled=False)
        time_machine.move_to(datetime.now(UTC) + timedelta(days=9))
        watch_age()
        assert self.told() == []


def test_a_damaged_set_protects_nothing_in_the_panel(plan, as_viewer):
    """The only copy of the newest set was found damaged: what counts is the set before it, or nothing."""
    damaged = make_set(plan, hours=1)
    damaged.copies.update(state=Copy.State.DAMAGED, message="A part is another one.")
    here = standing.of_plan(plan, timezone.now())
    assert (here.newest, here.moment, here.damaged) == (None, None, damaged)
    verdict = plan_verdict(here)
    assert (verdict.word, verdict.tone) == ("damaged", Tone.BAD) and "another one" in verdict.sentence
    page = as_viewer.get("/admin/").text
    assert "If it died now, everything would be lost." in page and "the data of" not in page
    older = make_set(plan, hours=5)
    here = standing.of_plan(plan, timezone.now())
    assert (here.newest, here.damaged) == (older, damaged) and plan_verdict(here).word == "damaged"
    assert "the data of 5" in as_viewer.get("/admin/").text
    # One good copy elsewhere, and it counts again.
    damaged.copies.update(state=Copy.State.COMPLETE)
    here = standing.of_plan(plan, timezone.now())
    assert (here.newest, here.damaged) == (damaged, None)
