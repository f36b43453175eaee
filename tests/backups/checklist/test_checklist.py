"""The checklist after a restore over production: opened by the tick, measured on a real Laravel application."""

import json
import os
import time
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from backups.checklist import conduct
from backups.checklist.points import AFTER_RESTORE, POINTS, REWINDING, how
from backups.models import Recovery
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.management.demo.laravel import create
from tests.live.laravel import served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    root = tmp_path_factory.mktemp("laravel") / "shop"
    create(root)
    return root


@pytest.fixture
def recovery(copy, database, system, application):
    """A restore of the database over production that has just ended well."""
    system.commands_directory = str(application)
    system.save()
    database.options |= {"critical_tables": ["orders"]}
    database.save()
    now = timezone.now()
    row = Recovery.objects.create(
        copy=copy, place="production", state="succeeded", requested_by="otto", started_at=now - timedelta(minutes=2),
        finished_at=now - timedelta(seconds=5),
    )  # fmt: skip
    row.sources.add(database)
    return row


def measured(recovery) -> dict[str, tuple[str, str]]:
    """{key: (state, what was seen)} after one measuring."""
    conduct.open_due()
    run_job(Job.objects.filter(kind=conduct.KIND, subject=recovery.pk).latest("pk").pk)
    return {one.key: (one.state, one.measured) for one in recovery.points.all()}


def test_every_restore_over_production_gets_one_once(recovery):
    conduct.open_due()
    conduct.open_due()
    assert [one.key for one in recovery.points.all()] == [one.key for one in POINTS]
    assert len(AFTER_RESTORE) == 13
    assert Job.objects.filter(kind=conduct.KIND).count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"place": "beside"},
        {"mode": "drill"},
        {"state": "failed"},
        {"finished_at": timezone.now() - timedelta(days=9)},
    ],
)
def test_others_get_none(recovery, changes):
    Recovery.objects.filter(pk=recovery.pk).update(**changes)
    conduct.open_due()
    assert not recovery.points.exists()


def test_what_can_be_measured_is(recovery, application, system):
    with served(application) as address:
        system.address = address
        system.save()
        found = measured(recovery)
    assert found["website"][0] == "good" and "status 200" in found["website"][1]
    assert found["database"] == ("good", "database: orders 100")
    assert found["uploads"] == ("good", "A file was written to storage/app and removed.")
    assert found["workers"][0] == "bad"
    assert found["certificate"] == ("open", "The system's address has no TLS.")
    assert not list((application / "storage/app").glob(".drc-check*"))
    # What nobody can measure waits for a person.
    assert {found[key][0] for key in ("calls", "calendar", *REWINDING)} == {"open"}


def test_an_application_that_is_down_is_seen(recovery, application, system):
    with served(application) as address:
        system.address = address
        system.save()
        (application / "storage/framework/down").write_text('{"status": 503, "retry": 60, "template": null}')
        try:
            found = measured(recovery)
        finally:
            (application / "storage/framework/down").unlink()
    assert found["website"][0] == "bad" and "status 503" in found["website"][1]


def test_a_website_that_does_not_answer_is_seen(recovery, system):
    system.address = "http://127.0.0.1:9"
    system.save()
    assert measured(recovery)["website"] == ("bad", "http://127.0.0.1:9: no answer (ConnectionError)")


def test_an_empty_critical_table_is_seen(recovery, database):
    import sqlite3

    with sqlite3.connect(database.options["path"]) as connection:
        connection.execute("DELETE FROM orders")
    connection.close()
    assert measured(recovery)["database"] == ("bad", "database: no rows in orders")


def test_a_log_that_grew_since_is_seen(recovery, application):
    log = application / "storage/logs/laravel.log"
    log.write_text("a line")
    assert measured(recovery)["logs"][0] == "good"
    old = time.time() - 3600
    os.utime(log, (old, old))
    conduct.request(recovery, requested_by="otto")
    assert measured(recovery)["logs"][0] == "open"


def test_uploads_that_cannot_be_written_are_seen(recovery, application, system):
    place = application / "storage/app"
    place.rename(application / "storage/app-away")
    try:
        (application / "storage/app").mkdir()
        (application / "storage/app" / f".drc-check-{recovery.pk}").mkdir()
        assert measured(recovery)["uploads"][0] == "bad"
    finally:
        (application / "storage/app" / f".drc-check-{recovery.pk}").rmdir()
        (application / "storage/app").rmdir()
        (application / "storage/app-away").rename(place)


def test_what_a_person_says_is_not_measured_away(recovery):
    measured(recovery)
    conduct.tick(recovery, "workers", "none", by="otto", note="This shop has no queue.")
    conduct.request(recovery, requested_by="otto")
    assert measured(recovery)["workers"] == ("none", "This shop has no queue.")
    assert Entry.objects.get(action="backups.checklist.ticked").facts["point"] == "workers"
    conduct.tick(recovery, "workers", "open", by="otto")
    conduct.request(recovery, requested_by="otto")
    assert measured(recovery)["workers"][0] == "bad"


@pytest.mark.parametrize(("key", "state"), [("nothing", "good"), ("website", "perfect")])
def test_a_point_or_state_that_there_is_none_of_is_refused(recovery, key, state):
    measured(recovery)
    with pytest.raises(OperationFailed, match="no such point"):
        conduct.tick(recovery, key, state, by="otto")


def test_the_window_that_the_data_do_not_know_is_named(recovery):
    recovery.copy.set.moment = timezone.datetime(2026, 1, 31, 14, 0, tzinfo=timezone.get_fixed_timezone(0))
    told = how("twice", recovery.copy.set.moment, recovery.copy.set.moment + timedelta(hours=2))
    assert "between 2026-01-31 14:00 UTC and 2026-01-31 16:00 UTC" in told


def test_the_page_shows_and_keeps(as_operator, recovery):
    measured(recovery)
    shown = as_operator.get(reverse("admin:backups_recovery_change", args=[recovery.pk])).content.decode()
    assert "Checklist after the restore" in shown and "database: orders 100" in shown
    page = reverse("admin:backups_recovery_checklist", args=[recovery.pk])
    data = {one.key: one.state for one in recovery.points.all()} | {"calls": "good", "note": "Called myself."}
    assert as_operator.get(page).status_code == 200
    as_operator.post(page, data)
    point = recovery.points.get(key="calls")
    assert (point.state, point.by, point.measured) == ("good", "otto", "Called myself.")
    assert recovery.points.exclude(by="").count() == 1


def test_a_viewer_ticks_nothing(as_viewer, recovery):
    measured(recovery)
    page = reverse("admin:backups_recovery_checklist", args=[recovery.pk])
    assert as_viewer.post(page, {"calls": "good"}).status_code == 403
    assert not recovery.points.exclude(by="").exists()


def test_the_shell_lists_ticks_and_measures(recovery, capsys):
    measured(recovery)
    with pytest.raises(SystemExit) as ended:
        call_command("recover", "checklist", str(recovery.pk))
    assert ended.value.code == 3
    assert "[x] database" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_command("recover", "checklist", str(recovery.pk), "--measure", "--tick", "calls", "--json")
    printed = {one["key"]: one["state"] for one in json.loads(capsys.readouterr().out)}
    assert printed["calls"] == "good"
    recovery.points.update(state="good")
    call_command("recover", "checklist", str(recovery.pk))


def test_a_recovery_without_one_is_told(recovery):
    with pytest.raises(CommandError, match="no recovery 99"):
        call_command("recover", "checklist", "99")
