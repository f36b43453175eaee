"""The panel's own database: protected by itself, missed when it is not, and sane when it comes back."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.core.checks import run_checks

from backups import own, rebuild
from backups.models import Copy, Generation, Plan, Rebuild, Set, Source, Verification
from backups.recovery import restore
from backups.storage import generation
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.taking import channel, good, quick, root, sets_in, taken

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "channel")]


@pytest.fixture
def protecting(settings):
    settings.PROTECT_SELF = True


@pytest.fixture
def own_set(protecting, destination, key) -> Set:
    own.ensure()
    wanted = Set.objects.get()
    run_job(wanted.job_id)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.level) == (Set.State.COMPLETE, "proven"), (
        wanted.message,
        wanted.level_reason,
    )
    return wanted


class TestProtectedByItself:
    def test_from_the_first_start_with_a_destination_and_a_key(self, own_set, destination) -> None:
        plan = Plan.objects.get()
        assert (plan.system.slug, plan.encrypt, plan.cron) == ("dr-center", True, "20 * * * *")
        assert {part.source_name for part in own_set.parts.all()} == {"catalogue", "signing-key"}
        own.ensure()
        assert (System.objects.count(), Set.objects.count()) == (1, 1)
        assert own.fault() is None

    def test_nothing_in_the_clear_holds_the_signing_key(self, own_set, destination) -> None:
        private = (Path(configured.STATE_DIR) / "signing_key.pem").read_bytes().splitlines()[1]
        for path in root(destination).rglob("*"):
            assert not path.is_file() or private not in path.read_bytes()

    def test_without_encryption_it_is_refused(self, own_set) -> None:
        Plan.objects.update(encrypt=False)
        one = taken(Plan.objects.get())
        assert one.state == Set.State.FAILED
        assert "holds the signing key" in one.message

    def test_it_waits_for_a_destination_and_a_key(self, protecting, db) -> None:
        own.ensure()
        assert not System.objects.exists()
        assert own.fault() == (
            "The DR Center's own database is not protected.", "It is as soon as there is a destination.",
        )  # fmt: skip

    def test_where_something_else_does_it_nobody_complains(self, db) -> None:
        own.ensure()
        assert own.fault() is None


class TestMissed:
    def test_when_the_set_is_too_old(self, own_set, time_machine) -> None:
        time_machine.shift(4 * 3600)
        assert "too old" in own.fault()[0]
        found = run_checks(tags=["database"], databases=["default"])
        assert "backups.W007" in [one.id for one in found]

    def test_when_its_plan_is_switched_off(self, own_set) -> None:
        Plan.objects.update(enabled=False)
        assert "in no plan that runs by itself" in own.fault()[0]


class TestPutBack:
    def test_a_new_start_is_none(self, db, settings, tmp_path) -> None:
        settings.STATE_DIR = tmp_path
        assert [generation.begin() for _start in range(3)] == [False, False, False]

    def test_an_older_state_is_noticed_and_nothing_good_is_removed(
        self, plan, destination, key, settings, tmp_path
    ) -> None:
        """The set runs as the database is copied, and is complete in storage when that copy comes back."""
        settings.STATE_DIR = _state(tmp_path)
        generation.begin()
        one = good(plan)
        old = Generation.objects.get().token
        generation.begin()
        Generation.objects.update(token=old)  # As the copy of the database has it.
        Set.objects.update(state=Set.State.RUNNING)
        Copy.objects.update(state=Copy.State.WRITING)
        Verification.objects.update(state=Verification.State.RUNNING)
        job = Job.objects.get(pk=one.job_id)
        Job.objects.update(state=State.RUNNING, settled=False)
        assert generation.begin()
        job.refresh_from_db()
        assert (job.state, job.settled) == (State.LOST, True)
        assert "put back from a backup" in Set.objects.get().message
        assert not lose(job)
        assert [found.identifier for found in sets_in(destination)] == [one.identifier]
        assert "put back" in Rebuild.objects.waits()
        wanted = rebuild.request(destination, requested_by="anna", identity=Secret(key.identity))
        run_job(wanted.job_id)
        one.refresh_from_db()
        assert (one.state, one.level) == (Set.State.COMPLETE, "proven")
        assert not generation.begin()

    def test_the_token_in_a_set_is_old_once_it_is_taken(self, own_set, settings, tmp_path) -> None:
        generation.advance_after_set()
        before = Generation.objects.get().token
        generation.advance_after_set()
        assert Generation.objects.get().token == before
        Generation.objects.update(set_pk=own_set.pk - 1)
        generation.advance_after_set()
        assert Generation.objects.get().token != before

    @pytest.mark.parametrize("content", ["", "{", '"x"', "[]"])
    def test_a_broken_file_is_taken_for_a_strange_database(self, db, settings, tmp_path, content) -> None:
        settings.STATE_DIR = tmp_path
        generation.begin()
        (tmp_path / "generation").write_text(content)
        assert generation.begin()
        assert Rebuild.objects.unconfirmed().count() == 1


def test_the_restored_database_holds_the_catalogue(own_set, key, tmp_path) -> None:
    """Rebuild, restore beside, look: what somebody does on a new machine (docs/rebuild.md)."""
    target = tmp_path / "restored" / "drcenter.sqlite3"
    target.parent.mkdir()
    recovery = restore.request_beside(
        own_set.copies.get(), sources=list(Source.objects.filter(name="catalogue")),
        names={"catalogue": str(target)}, requested_by="anna", identity=Secret(key.identity),
    )  # fmt: skip
    run_job(recovery.job_id)
    recovery.refresh_from_db()
    assert recovery.state == "succeeded", recovery.message
    with closing(sqlite3.connect(target)) as connection:
        states = connection.execute("SELECT state FROM jobs_job WHERE kind = 'backups.take'").fetchall()
        assert connection.execute("SELECT slug FROM systems_system").fetchall() == [("dr-center",)]
    assert states == [("running",)]  # Its own job: `generation` closes it.


def _state(tmp_path) -> Path:
    place = tmp_path / "state"
    place.mkdir()
    return place


def test_it_is_never_restored_over_itself(own_set, key) -> None:
    with pytest.raises(OperationFailed, match="over its own database"):
        restore.request_production(
            own_set.copies.get(), sources=[], typed_host="x", requested_by="anna", user=None
        )
