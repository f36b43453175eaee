"""A plan that was changed since its last proof says so, until a proof or a good drill."""

import pytest

from backups import needs_proof
from backups.drills import drill as drills
from backups.models import Level, Set
from backups.status import describe
from backups.takes import take
from drcenter.jobs.work import run_job
from tests.backups.scene import scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def taken(plan) -> Set:
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job_id)
    return Set.objects.get(pk=wanted.pk)


def drilled(scene, one: Set) -> str:
    drill = drills.request(one.copies.get(), requested_by="otto", identity=scene.identity)
    run_job(drill.recovery.job_id)
    drill.refresh_from_db()
    return drill.outcome


def test_a_change_turns_it_and_a_good_drill_clears_it(scene, plan) -> None:
    from django.utils import timezone

    assert needs_proof.of_plan(plan) == []  # Nothing was ever shown of it.
    assert drilled(scene, scene.copy.set) == "passed"
    assert needs_proof.of_plan(plan) == []
    scene.uploads.options = {**scene.uploads.options, "exclude": ["*.tmp"]}
    scene.uploads.save()
    assert [(one.name, one.detail) for one in needs_proof.of_plan(plan)] == [("uploads", "exclude")]
    told = describe(plan, timezone.now())
    assert told["needs_proof"] and "uploads: the option exclude was changed" in told["needs_proof_reason"]
    one = taken(plan)
    assert needs_proof.of_plan(plan)
    assert drilled(scene, scene.copy.set) == "passed"  # An old set shows nothing of the new way.
    assert needs_proof.of_plan(plan)
    assert drilled(scene, one) == "passed"
    assert needs_proof.of_plan(plan) == []


def test_a_proven_set_clears_it_too(scene, plan) -> None:
    plan.level = Level.PROVEN
    plan.save()
    assert taken(plan).level == "proven"
    plan.encrypt = False
    plan.save()
    assert needs_proof.told(needs_proof.of_plan(plan)) == (
        "It needs proof: since it was last proven or rehearsed, the plan: encrypt was changed."
    )
    assert taken(plan).level == "proven"
    assert needs_proof.of_plan(plan) == []


def test_a_new_version_is_known_from_the_last_set(scene, plan) -> None:
    assert drilled(scene, scene.copy.set) == "passed"
    one = taken(plan)
    one.made_with["sources"]["database"]["versions"]["sqlite"] = "9.9"
    one.save()
    assert "became 9.9" in needs_proof.told(needs_proof.of_plan(plan))
