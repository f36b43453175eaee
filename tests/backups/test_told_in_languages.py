"""Each channel hears of backups and restores in its own language, whatever the worker's is."""

import pytest

from backups.models import Recovery
from backups.takes import preflight
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.notify.models import Channel, Delivery
from tests.backups.scene import Scene, flip, scene
from tests.backups.taking import quick, taken, verified

__all__ = ["quick", "scene"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channels")]


@pytest.fixture
def channels(db, monkeypatch) -> None:
    monkeypatch.setenv("TEST_CHANNEL", "json://127.0.0.1:9/never")
    for language in ("en", "de"):
        Channel.objects.create(name=language, url="env:TEST_CHANNEL", on_success=True, language=language)


def told(language: str) -> tuple[str, str]:
    """Title and body of the last message."""
    last = Delivery.objects.filter(channel__name=language).latest("pk")
    return last.title, last.body


def test_a_set(plan) -> None:
    one = taken(plan)
    assert told("en")[0] == f"{one}: proven"
    assert told("de")[0] == f"{one}: bewiesen"


def test_a_backup_that_failed(plan, monkeypatch) -> None:
    def broken(*_args: object) -> None:
        raise OperationFailed("mysqldump: error 2013")

    monkeypatch.setattr(preflight, "look", broken)
    taken(plan)
    assert told("en") == (f"{plan}: the backup failed", "mysqldump: error 2013")
    assert told("de") == (f"{plan}: Die Sicherung ist gescheitert", "mysqldump: error 2013")


def test_a_worker_that_was_lost(plan, monkeypatch) -> None:
    def look(sources: object) -> None:
        assert lose(Job.objects.get(state=State.RUNNING))
        raise OperationFailed("nothing that anybody hears of")

    plan.retry_lost = False
    plan.save()
    monkeypatch.setattr(preflight, "look", look)
    taken(plan)
    assert told("en")[0] == f"{plan}: the worker was lost"
    assert told("en")[1].startswith("The worker gave no sign of life any more")
    assert told("de")[0] == f"{plan}: Der Arbeiter ging verloren"
    assert told("de")[1].startswith("Der Arbeiter")


def test_a_restore(scene: Scene) -> None:
    assert scene.over().state == Recovery.State.SUCCEEDED
    assert told("en")[0].endswith("→ over production: succeeded")
    assert told("de")[0].endswith("→ über die Produktion: gelungen")
    scene.commands(pause_command=[scene.command("stop", 1)], resume_command=[scene.command("start", 1)])
    assert scene.over().state == Recovery.State.DOWN
    assert told("en")[0].endswith(": failed, the application is stopped")
    assert told("de")[0] not in told("en")[0]
    assert "→ über die Produktion: " in told("de")[0]


def test_a_copy_that_is_damaged(scene: Scene, key) -> None:
    flip(scene.part("database"))
    verified(scene.copy, "intact", key.identity)
    assert told("en")[0] == f"{scene.copy} is damaged"
    assert told("de")[0] == f"{scene.copy} ist beschädigt"
