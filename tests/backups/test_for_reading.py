"""Sources that are read, not put back: proven like the others, and left alone by a restore over production."""

import pytest

from backups.models import Level, Plan, Recovery, Set, Source
from backups.models.plan import Tier
from backups.recovery import restore
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs.work import run_job
from drcenter.process import Command, run
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(scene: Scene) -> Scene:
    """The scene with a set that also has information and a git state."""
    tree = scene.directory.parent / "tree"
    run(Command(("git", "init", "--quiet", str(tree))))
    (tree / "new.txt").write_text("in no commit")
    options = {
        "directory": str(scene.directory.parent / "told"),
        "leave_out": ["npm-global", "composer-global"],
    }
    for name, tier, given in (
        ("information", Tier.INFORMATION, options),
        ("git", Tier.GIT, {"path": str(tree)}),
    ):
        source = Source.objects.create(system=scene.system, name=name, engine=name, tier=tier, options=given)
        scene.plan.sources.add(source)
    Plan.objects.filter(pk=scene.plan.pk).update(level=Level.PROVEN)
    scene.plan.refresh_from_db()
    wanted = take.request(scene.plan, requested_by="otto")
    run_job(wanted.job.pk)
    scene.copy = wanted.copies.get()
    return scene


def test_they_are_proven_and_restored_beside_but_not_over_production(told: Scene) -> None:
    taken = Set.objects.latest("pk")
    assert (taken.level, taken.level_reason) == (Level.PROVEN, "")
    steps = restore.describe_production(told.copy, [])
    assert [step for step in steps if step.startswith("Leave out git: ")]
    rows, files = told.everything()
    told.damage()
    recovery = told.over()
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert sorted(source.name for source in recovery.sources.all()) == ["database", "uploads"]
    assert told.everything() == (rows, files)
    recovery = told.beside(information="lists", git="rescued")
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert (told.directory.parent / "rescued/repository/new.txt").read_text() == "in no commit"
    assert (told.directory.parent / "lists/kernel.txt").exists()


def test_alone_they_are_refused_over_production(told: Scene) -> None:
    alone = list(told.system.sources.filter(name="git"))
    with pytest.raises(OperationFailed, match="nothing to overwrite"):
        restore.describe_production(told.copy, alone)
    with pytest.raises(OperationFailed, match="nothing to overwrite"):
        restore.request_production(told.copy, sources=alone, typed_host="x", requested_by="otto", user=None)
