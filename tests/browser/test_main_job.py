"""What a person does at three in the morning: back up, watch it, see it proven, restore it beside."""

import sqlite3
import time

import pytest

from backups.models import Recovery, Set
from tests.browser.conftest import NARROW, WIDE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_back_up_watch_prove_restore_beside(visit, worker, operator, plan, key, database, viewport):
    visitor = visit(viewport=viewport)
    page = visitor.page
    visitor.sign_in("otto")

    page.get_by_role("link", name="Back up now").first.click()
    assert page.get_by_role("heading", name="Back up now").is_visible()
    assert Set.objects.count() == 0
    page.get_by_role("button", name="Back up now").click()

    page.wait_for_selector("#record")
    # Were the page loaded again, this would be gone.
    page.evaluate("window.sameDocument = true")
    page.get_by_role("heading", name="Proven", exact=True).wait_for(timeout=60_000)
    assert page.evaluate("window.sameDocument")
    assert page.locator("#record td").get_by_text("database", exact=True).first.is_visible()
    taken = Set.objects.get()
    assert taken.level == "proven" and taken.job.requested_by == "otto"
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2600)
    assert not [url for url in asked if url.endswith("/live/")], "nothing changes any more, but it still asks"

    page.get_by_role("link", name="Restore beside").first.click()
    page.fill(f"#id_name_{database.pk}", "orders_of_yesterday")
    page.fill("#id_identity", key.identity)
    page.get_by_role("button", name="Restore beside the original").click()
    page.get_by_role("heading", name="Succeeded", exact=True).wait_for(timeout=60_000)
    assert visitor.overflow() <= 0 and visitor.overlong() == []

    recovery = Recovery.objects.get()
    beside = database.build().beside("orders_of_yesterday")
    connection = sqlite3.connect(beside.options["path"])
    assert connection.execute("SELECT count(*), sum(total) FROM orders").fetchone() == (100, 4950.0)
    connection.close()
    assert recovery.requested_by == "otto"
    assert key.identity not in page.content()


def test_a_running_job_shows_how_far_it_is_and_can_be_cancelled(visit, operator, plan, running_job):
    visitor = visit()
    visitor.sign_in("otto")
    page = visitor.page
    page.get_by_role("link", name="Back up shop: daily").click()
    page.get_by_text("25 %").wait_for()
    running_job.bytes_done, running_job.item = 150_000_000, "uploads"
    running_job.save()
    page.get_by_text("75 %").wait_for(timeout=5000)
    assert page.get_by_text("uploads").is_visible()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Stop it").click()
    page.get_by_text("Stopping").wait_for()
    running_job.refresh_from_db()
    assert running_job.cancel_requested_by == "otto"
    running_job.state, running_job.message = "cancelled", "Stopped on request."
    running_job.save()
    started = time.monotonic()
    page.get_by_role("heading", name="Cancelled").wait_for(timeout=5000)
    assert time.monotonic() - started < 4


def test_production_wants_the_host_typed(visit, operator, copy, database):
    visitor = visit()
    visitor.sign_in("otto")
    page = visitor.page
    visitor.go(f"/admin/backups/copy/{copy.pk}/production/")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Show what will happen").click()
    page.fill("#id_typed_host", "wrong-host")
    page.fill("#id_reason", "Rows are gone")
    page.get_by_role("button", name="Ask for approval").click()
    assert page.get_by_role("alert").first.is_visible()
    assert page.input_value("#id_typed_host") == "wrong-host"
    assert not Recovery.objects.exists()
