"""The pages about what will be: what a set would contain, the calendar, the profiles."""

import pytest
from django.urls import reverse

from backups.models import Plan, Profile, Set, Source, Tier
from drcenter.audit.models import Entry, Result
from drcenter.panel.pages import address

pytestmark = pytest.mark.django_db


def text(response) -> str:
    return response.content.decode()


def test_the_page_of_a_plan_says_what_is_there_only_after_post(as_operator, plan, database):
    page = address(plan, "contents")
    asked = as_operator.get(page)
    assert asked.status_code == 200 and database.options["path"] not in text(asked)
    seen = as_operator.post(page)
    assert seen.status_code == 200
    for source in plan.sources.all():
        assert source.options["path"] in text(seen)
    assert not Set.objects.exists()


def test_the_page_of_a_system_takes_any_profile_and_names_what_is_missing(as_operator, plan):
    page = address(plan.system, "contents")
    seen = as_operator.post(page, {"profile": "ultimate"})
    assert "No source has this tier: system information." in text(seen)
    assert "No source has this tier: database." not in text(seen)
    assert as_operator.post(page, {"profile": "nothing"}).context["form"].errors


def test_what_cannot_be_read_is_shown_and_the_others_too(as_operator, plan, database, uploads):
    Source.objects.filter(pk=database.pk).update(options={"path": "/nowhere/shop.sqlite3"})
    seen = text(as_operator.post(address(plan, "contents")))
    assert "/nowhere/shop.sqlite3 cannot be opened" in seen and uploads.options["path"] in seen


@pytest.mark.parametrize("page", ["contents", "calendar"])
def test_whoever_may_only_look_may_not(as_viewer, plan, page):
    where = address(plan.system, page)
    assert (as_viewer.get(where).status_code, as_viewer.post(where).status_code) == (403, 403)
    assert Entry.objects.filter(result=Result.REFUSED).count() == 1
    assert Plan.objects.count() == 1


def test_the_calendar_is_shown_first_and_set_up_by_post(as_admin, plan):
    page = address(plan.system, "calendar")
    shown = text(as_admin.get(page))
    assert "weekly, Sundays at 03:00: database, uploads." in shown
    assert Plan.objects.count() == 1
    assert as_admin.post(page, {"tables": ""}).status_code == 302
    assert set(Plan.objects.values_list("name", flat=True)) == {"daily", "weekly", "monthly", "quarterly"}
    assert as_admin.post(page, {"tables": "orders\npayments"}).status_code == 302
    assert Plan.objects.get(name="critical-tables").tables == ["orders", "payments"]


def test_a_profile_of_ones_own(as_admin):
    fields = {"slug": "data", "name": "Data", "tiers": ["database", "storage"]}
    response = as_admin.post(reverse("admin:backups_profile_add"), fields)
    assert response.status_code == 302, response.context["errors"]
    own = Profile.objects.get(slug="data")
    assert (own.tiers, own.built_in) == (["database", "storage"], False)
    assert as_admin.post(address(own), {**fields, "tiers": []}).status_code == 200, "not without any tier"
    assert "database" in text(as_admin.get(reverse("admin:backups_profile_changelist")))


def test_the_built_in_ones_are_read_only(as_admin):
    golden = Profile.objects.get(slug="golden")
    assert as_admin.get(address(golden)).status_code == 200
    changed = as_admin.post(address(golden), {"slug": "golden", "name": "x", "tiers": ["database"]})
    deleted = as_admin.post(address(golden, "delete"), {"post": "yes"})
    assert (changed.status_code, deleted.status_code) == (403, 403)
    golden.refresh_from_db()
    assert len(golden.tiers) == 4


def test_a_profile_that_a_plan_has_is_not_deleted(as_admin, plan):
    own = Profile.objects.create(slug="data", name="Data", tiers=["database"])
    Plan.objects.filter(pk=plan.pk).update(profile=own)
    as_admin.post(address(own, "delete"), {"post": "yes"})
    assert Profile.objects.filter(pk=own.pk).exists()


def test_a_source_belongs_to_the_plans_of_its_tier(as_admin, plan):
    Plan.objects.filter(pk=plan.pk).update(profile=Profile.objects.get(slug="golden"))
    source = Source.objects.create(
        system=plan.system, name="code", engine="files", tier=Tier.APPLICATION, options={"path": "/srv/code"}
    )
    assert str(plan) in text(as_admin.get(address(source)))
