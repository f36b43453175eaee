"""Identities that people bring: where they are, for how long, and where they never are."""

import os
import shutil
import stat
import time

import pyrage
import pytest
from django.db import transaction

from backups.guides import kit
from backups.models import Level, RecoveryKey
from backups.recovery import identities
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel
from drcenter.secrets import Secret
from tests.backups.taking import assert_secret, good, quick, root, verified, watched_processes

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


@pytest.fixture(autouse=True)
def own_state(settings, tmp_path):
    """A state directory of our own, and so a place for identities of our own."""
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    yield
    shutil.rmtree(identities._directory(), ignore_errors=True)


@pytest.fixture
def job():
    return Job.objects.create(kind="test", title="x", subject=1, target="x", requested_by="anna")


@pytest.fixture
def identity() -> str:
    return str(pyrage.x25519.Identity.generate())


def left() -> list[str]:
    return [path.name for path in identities._directory().glob("*")]


def test_it_is_readable_by_us_alone_and_gone_after_use(job, identity) -> None:
    identities.bring(job, Secret(f"# created: today\n{identity}\n"))
    path = identities._place(job)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [str(one) for one in identities.brought(job)] == [identity]
    assert left() == []
    assert identities.brought(job) == []


def test_none_is_brought(job) -> None:
    identities.bring(job, None)
    identities.bring(job, Secret(" \n"))
    assert left() == []


@pytest.mark.parametrize("text", ["x", "AGE-SECRET-KEY-1QQQ", "age1qqq", "# only a comment"])
def test_what_is_none_is_refused_without_saying_it(job, text) -> None:
    with pytest.raises(OperationFailed, match="not an age identity") as caught:
        identities.bring(job, Secret(text))
    assert text not in caught.value.message
    assert left() == []


@pytest.mark.parametrize("language", kit.LANGUAGES)
def test_the_text_of_a_recovery_kit_will_do(job, language) -> None:
    sheets: list[tuple[str, str]] = []

    def emit(key: RecoveryKey, identity: Secret) -> None:
        sheets.append((identity.reveal().strip(), kit.sheet(key, identity, language)))

    kit.make("safe A", "anna", emit)
    ((mine, sheet),) = sheets
    identities.bring(job, Secret(sheet))
    assert [str(one) for one in identities.brought(job)] == [mine]
    assert [key.name for key in kit.held(Secret(sheet), "anna")] == ["safe A"]


@pytest.mark.parametrize("around", ["\t  {}  \r\n", "identity: {}, twice: {}.", "AGE-SECRET-KEY-1… is {}"])
def test_words_may_stand_around_it(identity, around) -> None:
    assert [str(one) for one in identities.parse(around.format(identity, identity))] == [identity]


def test_one_of_two_that_was_not_copied_whole_is_refused(identity) -> None:
    with pytest.raises(OperationFailed, match="not an age identity"):
        identities.parse(f"{identity}\n{identity[:-1]}\n")


def test_a_second_one_replaces_the_first(job, identity) -> None:
    identities.bring(job, Secret(str(pyrage.x25519.Identity.generate())))
    identities.bring(job, Secret(identity))
    assert [str(one) for one in identities.brought(job)] == [identity]


def test_a_tick_removes_what_no_open_job_needs(job, identity) -> None:
    identities.bring(job, Secret(identity))
    identities.forget_stale()
    assert left() == [f"{job.pk}.identity"]
    Job.objects.update(state=State.FAILED)
    identities.forget_stale()
    assert left() == [f"{job.pk}.identity"], "its transaction may not be committed yet"
    old = time.time() - 100
    os.utime(identities._place(job), (old, old))
    identities.forget_stale()
    assert left() == []


def test_a_tick_between_the_request_and_its_commit_takes_nothing_away(identity) -> None:
    with transaction.atomic():
        job = Job.objects.create(kind="test", title="x", subject=1, target="x", requested_by="anna")
        identities.bring(job, Secret(identity))
        transaction.set_rollback(True)
    identities.forget_stale()
    assert left() == [f"{job.pk}.identity"]
    identities.forget(job)
    assert left() == []


def test_a_directory_that_others_may_enter_is_refused(job, identity) -> None:
    directory = identities._directory(create=True)
    directory.chmod(0o755)
    try:
        with pytest.raises(OperationFailed, match="open to others"):
            identities.bring(job, Secret(identity))
    finally:
        directory.chmod(0o700)


def test_recipients_are_the_active_keys() -> None:
    with pytest.raises(OperationFailed, match="no recovery key") as caught:
        identities.recipients()
    assert "recovery-kit" in caught.value.hint
    one, other = (str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2))
    RecoveryKey.objects.create(name="safe", recipient=one)
    RecoveryKey.objects.create(name="old", recipient=other, active=False)
    assert identities.recipients() == [one]


class TestNeeded:
    def test_an_encrypted_set_needs_one_that_fits(self, identity) -> None:
        mine = pyrage.x25519.Identity.from_str(identity)
        identities.needed([str(mine.to_public()), "age1other"], [mine])
        identities.needed([], [])
        with pytest.raises(OperationFailed, match="no identity is at hand"):
            identities.needed(["age1other"], [])
        with pytest.raises(OperationFailed, match="does not fit") as caught:
            identities.needed(["age1other"], [mine])
        assert "age1other" in caught.value.hint
        assert identity not in str(caught.value)

    def test_keys_are_named_beside_their_recipients(self, identity) -> None:
        RecoveryKey.objects.create(name="safe A", recipient="age1other")
        for mine in [[], [pyrage.x25519.Identity.from_str(identity)]]:
            with pytest.raises(OperationFailed) as caught:
                identities.needed(["age1other", "age1unknown"], mine)
            assert "“safe A” (age1other), age1unknown." in caught.value.hint


def test_during_a_proof_it_is_nowhere_but_in_its_file(plan, key, destination, caplog, settings) -> None:
    plan.level = Level.INTACT
    plan.save()
    copy = good(plan).copies.get()
    with watched_processes(key.identity) as seen:
        assert verified(copy, "proven", key.identity).reached == "proven"
    assert seen == []
    assert left() == []
    assert_secret(key.identity, logs=caplog.text, places=[root(destination), settings.STATE_DIR])


def test_a_verification_that_is_cancelled_while_it_waits_leaves_none(plan, key) -> None:
    from backups import verify

    copy = good(plan).copies.get()
    wanted = verify.request(copy, "intact", requested_by="vera", identity=Secret(key.identity))
    assert left() == [f"{wanted.job_id}.identity"]
    cancel(wanted.job, "vera")
    assert left() == []
