"""Live progress: fragments that stop by themselves, for those who may see them."""

from django.urls import reverse
from django.utils import timezone

from drcenter.jobs.models import Line, State
from drcenter.panel.pages import address


def test_a_running_job_is_polled_and_shows_how_far_it_is(as_viewer, running_job):
    Line.objects.create(job=running_job, text="storing the part")
    page = as_viewer.get(address(running_job)).text
    assert f'hx-get="{address(running_job, "live")}"' in page
    fragment = as_viewer.get(address(running_job, "live"))
    assert fragment.status_code == 200
    assert "25\u00a0%" in fragment.text or "25 %" in fragment.text
    assert "Reading" in fragment.text and "storing the part" in fragment.text
    assert "47.7 MiB" in fragment.text and "/s" in fragment.text
    assert "<html" not in fragment.text


def test_polling_stops_and_the_result_stands_there(as_viewer, running_job):
    running_job.state, running_job.finished_at = State.FAILED, timezone.now()
    running_job.message, running_job.hint = "The disk is full.", "Free space."
    running_job.save()
    fragment = as_viewer.get(address(running_job, "live"))
    assert fragment.status_code == 286
    assert "The disk is full." in fragment.text and "Free space." in fragment.text
    assert address(running_job, "live") not in as_viewer.get(address(running_job)).text


def test_a_session_that_has_ended_leads_to_the_login_not_into_the_page(client, running_job):
    page = address(running_job)
    response = client.get(
        address(running_job, "live"), headers={"HX-Current-URL": f"http://testserver{page}"}
    )
    assert response.status_code == 286
    assert response.headers["HX-Redirect"].startswith(reverse("admin:login"))
    assert client.get(reverse("admin:live")).status_code == 286


def test_the_first_page_shows_running_jobs(as_viewer, running_job, plan):
    assert "Back up shop: daily" in as_viewer.get(reverse("admin:live")).text


def test_times_are_shown_in_the_zone_of_the_panel(as_viewer, running_job, settings):
    settings.DISPLAY_TIME_ZONE = "Asia/Tokyo"
    assert "+09:00" in as_viewer.get(address(running_job)).text


def test_every_page_forbids_inline_scripts(as_viewer, running_job):
    policy = as_viewer.get(address(running_job)).headers["Content-Security-Policy"]
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe-inline" not in scripts
