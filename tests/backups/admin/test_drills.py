"""The pages of drills, exposure and targets: who may what, and what they say."""

import pytest
from django.urls import reverse
from django.utils import timezone

from backups.models import Drill
from backups.status import report
from drcenter.audit.models import Entry, Result
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address
from drcenter.systems.models import Target
from tests.backups.scene import scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_viewer_may_not_hold_a_drill_and_the_try_is_kept(scene, as_viewer) -> None:
    page = address(scene.copy, "drill")
    assert as_viewer.get(page).status_code == 403 and as_viewer.post(page).status_code == 403
    assert Entry.objects.filter(action="drill.request", result=Result.REFUSED).count() == 1
    assert "Hold a drill" not in as_viewer.get(address(scene.system)).text
    assert not Drill.objects.exists()


def test_an_operator_holds_one_with_an_identity_that_stays_nowhere(scene, as_operator, settings) -> None:
    page = address(scene.copy, "drill")
    assert "has no checks of its own" in as_operator.get(page).text
    assert "no identity is at hand" in as_operator.post(page).text
    answer = as_operator.post(page, {"identity": scene.identity.reveal()})
    drill = Drill.objects.get()
    assert answer.status_code == 302 and answer.url == address(drill)
    run_job(drill.recovery.job_id)
    text = as_operator.get(address(drill)).text
    assert "Passed" in text and scene.identity.reveal() not in text
    assert "would be lost" in as_operator.get(address(scene.system)).text


def test_a_get_changes_nothing(scene, as_admin) -> None:
    for page in (address(scene.copy, "drill"), address(scene.system, "targets")):
        assert as_admin.get(page).status_code == 200
    assert not Drill.objects.exists() and not Target.objects.exists()


def test_without_a_drill_a_promise_is_not_kept_and_nothing_is_green(scene, as_admin) -> None:
    as_admin.post(address(scene.system, "targets"), {"proposal": "classes"})
    assert Target.objects.filter(system=scene.system).count() == 3
    page = as_admin.get(reverse("admin:index")).text
    assert "nobody knows how long a recovery would take" in page
    told = report(timezone.now())["systems"][0]
    assert told["ok"] is False and "What was promised does not hold" in told["reason"]
    critical = told["exposure"][0]
    assert (critical["class"], critical["rpo"], critical["rto"], critical["ok"]) == ("critical", "met", "unknown", False)  # fmt: skip
    assert critical["lost_seconds"] >= 0 and critical["takes_seconds"] is None


def test_after_a_drill_the_promise_is_kept_until_the_set_is_too_old(scene, as_admin, time_machine) -> None:
    as_admin.post(address(scene.system, "targets"), {"proposal": "classes"})
    as_admin.post(address(scene.copy, "drill"), {"identity": scene.identity.reveal()})
    run_job(Drill.objects.get().recovery.job_id)
    exposure = report(timezone.now())["systems"][0]["exposure"]
    assert [one["ok"] for one in exposure] == [True, True, True]
    assert all(one["measured_by"] == "drill" for one in exposure)
    time_machine.shift(3700)
    exposure = report(timezone.now())["systems"][0]["exposure"]
    assert [one["rpo"] for one in exposure] == ["missed", "met", "met"]
    assert "is backed up too rarely" in " ".join(exposure[0]["to_do"])
