"""The warnings of `manage.py check --database default`."""

import pytest
from django.core.checks import Tags, run_checks
from django.utils import timezone

from backups import checks
from backups.models import Destination, Level, Plan, RecoveryKey
from drcenter.errors import OperationFailed

pytestmark = pytest.mark.django_db
RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


@pytest.fixture(autouse=True)
def state(settings, tmp_path):
    settings.STATE_DIR = tmp_path


@pytest.fixture
def key(db):
    return RecoveryKey.objects.create(name="safe", recipient=RECIPIENT, held_at=timezone.now())


@pytest.fixture
def plan(system, database, destination, key):
    plan = Plan.objects.create(system=system, name="daily")
    plan.sources.add(database)
    plan.destinations.add(destination)
    return plan


def found() -> list[str]:
    return [message.id for message in checks.check_backups(None, ["default"])]


def test_a_good_installation_has_none(plan):
    assert found() == []


def test_they_are_registered_and_only_run_with_a_database(db):
    messages = run_checks(tags=[Tags.database], databases=["default"])
    assert "backups.W001" in [message.id for message in messages]
    assert checks.check_backups(None, None) == []


def test_every_message_says_what_to_do(plan, key):
    key.delete()
    Plan.objects.update(encrypt=False)
    Destination.objects.update(enabled=False)
    messages = checks.check_backups(None, ["default"])
    assert [message.id for message in messages] == ["backups.W001", "backups.W003", "backups.W004"]
    assert all(message.hint for message in messages)


@pytest.mark.parametrize("changes", [{"active": False}, {"for_drills": True}])
def test_a_key_that_is_not_in_the_safe_is_none(plan, changes):
    RecoveryKey.objects.update(**changes)
    assert found() == ["backups.W001"]


def test_a_drill_key_alone_is_called_what_it_is(plan):
    RecoveryKey.objects.update(for_drills=True)
    (message,) = checks.check_backups(None, ["default"])
    assert message.msg.startswith("Only a drill key: nobody holds a recovery kit.")


def test_a_key_that_nobody_showed(plan):
    RecoveryKey.objects.update(held_at=None)
    assert found() == ["backups.W002"]


def test_a_plan_that_is_off_needs_nothing(plan):
    Plan.objects.update(enabled=False, encrypt=False)
    assert found() == []


@pytest.mark.parametrize("content", ["no key", None])
def test_a_signing_key_that_cannot_be_used(plan, tmp_path, content):
    path = tmp_path / "signing_key.pem"
    path.write_text(content or "")
    path.chmod(0o600 if content else 0o644)
    assert found() == ["backups.W005"]


def test_a_proof_without_a_server_to_prove_in(plan, database, monkeypatch):
    def missing() -> None:
        raise OperationFailed("No MariaDB server is installed.", "apt-get install mariadb-server")

    monkeypatch.setitem(checks.SCRATCH, "sqlite", missing)
    assert found() == ["backups.W006"]
    Plan.objects.update(level=Level.INTACT)
    assert found() == []
