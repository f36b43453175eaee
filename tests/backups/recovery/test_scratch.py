"""A source of a set in a scratch place: it holds what the set holds, and nothing of it is left."""

from pathlib import Path

import pytest
from django.conf import settings

from backups.recovery import identities, scratch
from backups.recovery.scratch import opened, restored_scratch
from drcenter.errors import OperationFailed
from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job
from tests.backups.scene import scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def context() -> JobContext:
    return JobContext(Job.objects.create(kind="test", subject=1, target="test", title="test"))


def test_it_holds_what_the_set_holds(scene, context) -> None:
    before = scene.rows()
    scene.damage()
    copy = opened(scene.copy, identities.parse(scene.identity.reveal()))
    with restored_scratch(context, copy, "database") as place:
        path = Path(place.on_disk)
        assert scene.rows(path) == before
        assert Path(settings.STATE_DIR) / "scratch" in path.parents
    assert not path.parent.exists()
    assert scene.rows() != before


def test_it_is_gone_after_a_failure(scene, context, monkeypatch) -> None:
    seen = []

    def fails(_context, _copy, _parts, place, _witness):
        seen.append(Path(place.on_disk).parent)
        raise OperationFailed("It does not restore.")

    monkeypatch.setattr(scratch, "place_source", fails)
    copy = opened(scene.copy, identities.parse(scene.identity.reveal()))
    with (
        pytest.raises(OperationFailed, match="does not restore"),
        restored_scratch(context, copy, "database"),
    ):
        raise AssertionError
    assert not seen[0].exists()


def test_without_an_identity_nothing_is_read(scene) -> None:
    with pytest.raises(OperationFailed, match="no identity is at hand"):
        opened(scene.copy, [])


def test_a_source_that_the_set_does_not_know(scene, context) -> None:
    copy = opened(scene.copy, identities.parse(scene.identity.reveal()))
    with (
        pytest.raises(OperationFailed, match="no source nothing"),
        restored_scratch(context, copy, "nothing"),
    ):
        raise AssertionError
