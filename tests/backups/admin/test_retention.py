"""The preview of retention, removing now, and going on after a freeze."""

import pytest

from backups.keep.freeze import freeze_plan
from backups.keep.keeping import forecast
from backups.models import Freeze, Retention, Set
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job
from drcenter.panel.pages import address
from tests.backups.keeping_sets import kept_set, rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(plan):
    return rules(plan, daily=7)


@pytest.fixture
def sets(plan):
    return [kept_set(plan, days) for days in range(9)]


@pytest.fixture
def frozen(plan):
    for days in range(30):
        kept_set(plan, days)
    return freeze_plan(plan, forecast(plan).doubts)


def test_the_preview_says_of_every_set_why(as_viewer, plan, sets):
    page = as_viewer.get(address(plan, "retention"))
    assert page.status_code == 200
    assert all(one.identifier in page.text for one in sets)
    assert page.text.count("no rule reaches back so far") == 2
    assert "Remove now" not in page.text
    only = as_viewer.get(address(plan, "retention"), {"show": "go"}).text
    assert [one.identifier in only for one in sets] == [False] * 7 + [True] * 2
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "query", [{"show": "x"}, {"page": "0"}, {"page": "-1"}, {"page": "9" * 30}, {"page": "²"}]
)
def test_odd_addresses(as_viewer, plan, sets, query):
    assert as_viewer.get(address(plan, "retention"), query).status_code == 200


def test_many_sets_have_pages(as_viewer, plan):
    for days in range(101):
        kept_set(plan, days)
    first = as_viewer.get(address(plan, "retention")).text
    assert ("page=2" in first, "page=0" in first) == (True, False)
    second = as_viewer.get(address(plan, "retention"), {"page": 2}).text
    assert Set.objects.order_by("moment")[0].identifier in second


def test_outsiders_see_nothing(client, outsider, plan):
    client.force_login(outsider)
    assert client.get(address(plan, "retention")).status_code == 403


def seen(response) -> str:
    return response.context["form"].initial["seen"]


def test_removing_asks_once_more_and_is_bound_to_what_was_seen(as_operator, plan, sets):
    page = as_operator.get(address(plan, "prune"))
    assert str(sets[8]) in page.text
    assert str(sets[0]) not in page.text
    assert not Job.objects.exists()
    agreed = {"seen": seen(page)}
    kept_set(plan, 30)
    refused = as_operator.post(address(plan, "prune"), agreed)
    assert "is not what this page showed any more" in refused.text
    assert not Job.objects.exists()
    agreed = {"seen": seen(as_operator.get(address(plan, "prune")))}
    assert as_operator.post(address(plan, "prune"), agreed).status_code == 302
    assert Job.objects.get().kind == "backups.prune"
    assert Entry.objects.get(action="backups.prune.requested").actor == "otto"


@pytest.mark.parametrize("page", ["prune", "thaw"])
def test_a_viewer_may_not(as_viewer, plan, sets, page):
    assert as_viewer.get(address(plan, page)).status_code == 403
    assert as_viewer.post(address(plan, page), {"seen": "x", "reason": "x"}).status_code == 403
    assert Entry.objects.get().result == Result.REFUSED
    assert not Job.objects.exists()


def test_a_freeze_is_shown_first_and_ended_with_a_reason(as_operator, plan, frozen):
    assert "23 of 30 sets would be removed at once" in as_operator.get("/admin/").text
    preview = as_operator.get(address(plan, "retention")).text
    assert ("Let it go on" in preview, "Remove now" in preview) == (True, False)
    refused = as_operator.post(address(plan, "prune"), {"seen": forecast(plan).digest})
    assert "Nothing of this plan is removed" in refused.text
    page = as_operator.get(address(plan, "thaw"))
    assert as_operator.post(address(plan, "thaw"), {"seen": seen(page), "reason": ""}).status_code == 200
    assert Freeze.objects.open().exists()
    as_operator.post(address(plan, "thaw"), {"seen": seen(page), "reason": "new rules"})
    thawed = Freeze.objects.get()
    assert (thawed.thawed_by, thawed.thaw_reason, len(thawed.approved)) == ("otto", "new rules", 23)
    assert "would be removed at once" not in as_operator.get("/admin/").text


def test_a_class_in_use_is_not_deleted(as_admin, plan):
    row = plan.retention
    as_admin.post(address(row, "delete"), {"post": "yes"})
    assert Retention.objects.filter(pk=row.pk).exists()
