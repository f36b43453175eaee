"""Every page answers, for those who may see it; text from rows is escaped; records cannot be edited."""

import pytest
from django.contrib import admin
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from backups.models import (
    Copy,
    Drill,
    DrillCheck,
    DrillSchedule,
    LogIncarnation,
    LogPlace,
    LogStream,
    Profile,
    Recovery,
    Set,
    Verification,
)
from drcenter.audit.models import Entry
from drcenter.audit.record import record
from drcenter.jobs.models import Job, Line
from drcenter.notify.models import Channel, Delivery
from drcenter.panel.pages import RecordAdmin, address

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def full(taken, copy, plan, key, running_job):
    """One row of everything."""
    Verification.objects.create(copy=copy, wanted="proven", state="damaged", differences=[EVIL], message=EVIL)
    Recovery.objects.create(
        copy=copy, place="production", state="down", requested_by=EVIL, message=EVIL,
        steps=[{"step": EVIL, "ok": False}], counts={"database": {"orders": 3}},
    )  # fmt: skip
    rehearsed = Recovery.objects.create(
        copy=copy, mode="drill", place="scratch", state="failed", requested_by=EVIL
    )
    Drill.objects.create(
        system=plan.system, set=taken, recovery=rehearsed, outcome="failed", requested_by=EVIL, message=EVIL, hint=EVIL,
        checks=[{"check": EVIL, "kind": "sql", "ok": False, "message": EVIL, "seconds": 1}], reservations=[EVIL],
        sources={"database": {"restore_seconds": 1, "compare_seconds": 2, "moment": "2026-11-20T02:00:00+00:00"}},
        classes=[{"class": "critical", "takes_seconds": 3, "rto_seconds": 2, "lost_seconds": 9, "rpo_seconds": None}],
        machine_seconds=3, lost_seconds=9, evidence=EVIL, signature="AA==", signing_key="0", evidence_sha256="0",
    )  # fmt: skip
    DrillSchedule.objects.create(system=plan.system)
    options = {"source": EVIL, "query": EVIL, "comparison": "equal", "expected": EVIL}
    DrillCheck.objects.create(system=plan.system, name=EVIL, kind="sql", options=options)
    Line.objects.create(job=running_job, text=EVIL)
    with transaction.atomic():
        record(EVIL, "test", taken, note=EVIL)
    channel = Channel.objects.create(name=EVIL, url="env:ALERTS")
    Delivery.objects.create(channel=channel, event="failure", title=EVIL, body=EVIL, error=EVIL)
    Set.objects.create(
        system=plan.system, plan=plan, state="failed", message=EVIL, hint=EVIL, findings=[{"message": EVIL}]
    )
    stream = LogStream.objects.create(
        source=plan.sources.first(), plan=plan, message=EVIL, hint=EVIL, base_wanted_at=timezone.now()
    )
    LogIncarnation.objects.create(stream=stream, name="server1-x", reason=EVIL)
    LogPlace.objects.create(stream=stream, destination=plan.destinations.first(), fault=EVIL)


def test_every_list_and_every_row_has_a_page(as_admin, full):
    for model in admin.site._registry:
        meta = model._meta
        response = as_admin.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))
        assert response.status_code == 200, model
        assert EVIL not in response.text, model
        for row in model._default_manager.all()[:3]:
            response = as_admin.get(address(row))
            assert response.status_code == 200, row
            assert EVIL not in response.text, model


def test_the_first_page_says_what_is_wrong(as_admin, full):
    page = as_admin.get(reverse("admin:index")).text
    assert "Webshop may be half restored, and was not stopped by us" in page
    assert "The last backup failed" in page
    assert "Nobody has shown to hold the recovery key" in page
    assert EVIL not in page


def test_an_empty_panel_says_what_to_do_next(as_admin):
    assert "manage.py protect" in as_admin.get(reverse("admin:index")).text
    assert "manage.py protect" in as_admin.get(reverse("admin:systems_system_changelist")).text
    assert "manage.py recovery-kit" in as_admin.get(reverse("admin:backups_recoverykey_changelist")).text


def test_an_outsider_sees_nothing(client, outsider, full, taken):
    client.force_login(outsider)
    page = client.get(reverse("admin:index"))
    assert "You may not see backups" in page.text and "Webshop" not in page.text
    assert client.get(address(taken)).status_code == 403
    assert client.get(address(taken, "live")).status_code == 403
    assert "Webshop" not in client.get(reverse("admin:live")).text


@pytest.mark.parametrize("model", [Set, Copy, Verification, Recovery, Job, Entry, Delivery])
def test_records_are_read_only_even_for_the_administrator(as_admin, full, model):
    registered = admin.site._registry[model]
    assert isinstance(registered, RecordAdmin)
    row = model._default_manager.first()
    meta = model._meta
    add = reverse(f"admin:{meta.app_label}_{meta.model_name}_add")
    assert as_admin.get(add).status_code == 403
    assert as_admin.post(add, {}).status_code == 403
    assert as_admin.post(address(row), {"state": "complete"}).status_code == 403
    assert as_admin.post(address(row, "delete"), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_a_viewer_edits_nothing(as_viewer, plan, database, destination, key):
    for row in (plan, plan.system, database, destination, key):
        assert as_viewer.get(address(row)).status_code == 200
        assert as_viewer.post(address(row), {"name": "changed"}).status_code == 403
    assert "Back up now" not in as_viewer.get(address(plan)).text


def test_a_change_is_in_the_audit_trail_under_history(as_admin, plan):
    fields = {
        "name": "nightly", "enabled": "on", "sources": [s.pk for s in plan.sources.all()],
        "destinations": [d.pk for d in plan.destinations.all()], "cron": "0 3 * * *",
        "time_zone": "Europe/Berlin", "target_age_hours": "26", "level": "proven", "encrypt": "on",
        "compression": "3", "bandwidth_mib": "", "side_by_side": "1", "increments": "0", "full_after_days": "7",
        "full_above_percent": "30", "retention": "", "minimum_copies": "1",
    }  # fmt: skip
    response = as_admin.post(address(plan), fields)
    assert response.status_code == 302, response.context["errors"]
    entry = Entry.objects.get()
    assert (entry.actor, entry.action, entry.object_id) == ("ada", "backups.plan.changed", str(plan.pk))
    history = as_admin.get(address(plan, "history"), follow=True)
    assert "backups.plan.changed" in history.text


def test_a_plan_takes_no_source_of_another_system(as_admin, plan, uploads):
    from drcenter.systems.models import System

    other = System.objects.create(slug="wiki", name="Wiki")
    uploads.system = other
    uploads.save()
    page = as_admin.get(address(plan)).text
    assert "shop/database" in page and "wiki/uploads" not in page


def test_a_profile_that_is_given_shows_words_and_no_data(as_admin, db):
    golden = Profile.objects.get(slug="golden")
    page = as_admin.get(address(golden), headers={"Accept-Language": "de"}).text
    assert (
        "Anwendungscode, Datenbank, Konfiguration, Ablage" in page and "&quot;application&quot;" not in page
    )
