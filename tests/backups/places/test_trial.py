"""The connection test does what production does, says which step failed, and ends in time."""

import json
import time

import pytest
from django.core.management import CommandError, call_command

from backups.destinations import build_impatient
from backups.models import Trial
from backups.places import trial
from tests.backups import locks
from tests.backups.destinations import s3_server
from tests.backups.destinations.conftest import faulty, s3_port
from tests.backups.destinations.faulty_s3 import DENIED
from tests.backups.locks import bucket, locking_port, place, s3_keys, short_pauses

__all__ = ["bucket", "faulty", "locking_port", "place", "s3_keys", "s3_port", "short_pauses"]

ALL = ["reach it and list", "put in one piece", "put in parts", "read back", "list what was stored"]
LOCKS = ["lock", "be refused to delete"]


def tried(store, *, pruner=None, locks=False, seconds=60):
    steps = trial.Trial(store, pruner or store, locks=locks).steps()
    return [*trial.within(steps, seconds)]


def names(steps):
    return [step.name for step in steps]


@pytest.mark.django_db
def test_every_step_with_locks(place, locking_port, bucket, capsys):
    call_command("backup", "test-destination", "vault")
    printed = capsys.readouterr().out
    for name in [*ALL, *LOCKS, "clean up"]:
        assert f"ok     {name}: " in printed
    (left,) = locks.versions(locking_port, bucket)
    assert left["lock"][0] == "COMPLIANCE" and left["key"].endswith("/locked") and left["key"][4:] in printed
    row = Trial.objects.get(destination=place)
    assert row.ok and names_of(row) == [*ALL, *LOCKS, "clean up"]
    assert all(step["seconds"] >= 0 for step in row.steps)


def names_of(row):
    return [step["name"] for step in row.steps]


@pytest.mark.django_db
def test_a_failure_ends_it_with_its_sentence_and_the_shell_hears(place, locking_port, capsys):
    place.options["bucket"] = s3_server.new_bucket(locking_port)
    place.save()
    with pytest.raises(SystemExit) as ended:
        call_command("backup", "test-destination", "vault", "--json")
    assert ended.value.code == 1
    steps = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in steps if not step["ok"]] == ["lock"]
    assert steps[-1]["name"] == "clean up" and steps[-1]["ok"]
    assert "cannot be locked" in steps[-2]["message"] and not Trial.objects.get().ok
    with pytest.raises(CommandError, match="There are: disk, vault"):
        call_command("backup", "test-destination", "valut")


def test_a_delete_of_a_locked_object_that_succeeds_is_a_failure(locking_port, bucket, s3_keys):
    store = build_impatient("s3", s3_server.options(locking_port, bucket, lock_mode="GOVERNANCE"))
    pruner = build_impatient("s3", s3_server.options(locking_port, bucket))
    client = s3_server.client(locking_port)
    pruner.delete_version = lambda key, version: client.delete_object(
        Bucket=bucket, Key=f"drc/{key}", VersionId=version, BypassGovernanceRetention=True
    )
    steps = tried(store, pruner=pruner, locks=True)
    assert [step.name for step in steps if not step.ok] == ["be refused to delete"]


@pytest.fixture
def store(faulty, s3_port, s3_keys):
    """A store behind a server that misbehaves."""
    return build_impatient("s3", s3_server.options(faulty.port, s3_server.new_bucket(s3_port)))


@pytest.mark.parametrize(
    ("method", "query", "step"),
    [
        ("GET", "list-type", "reach it and list"),
        ("PUT", "/whole", "put in one piece"),
        ("PUT", "partNumber", "put in parts"),
        ("GET", "/parts", "read back"),
        ("DELETE", "", "clean up"),
    ],
)
def test_the_right_that_is_missing_is_named_by_its_step(store, faulty, method, query, step):
    faulty.add("status", method, query, status=DENIED)
    steps = tried(store)
    assert [one.name for one in steps if not one.ok] == [step]
    assert "refuses access" in next(one.message for one in steps if not one.ok)
    assert all(one.hint for one in steps if not one.ok)


def test_one_error_is_told_at_once(store, faulty):
    """Production tries again for half a minute; a person waits for the answer."""
    faulty.add("status", "GET")
    began = time.monotonic()
    assert not tried(store)[0].ok and time.monotonic() - began < 5


def test_a_store_that_hangs_does_not_hold_the_job(store, faulty):
    faulty.add("slow", "PUT", "/whole", seconds=3)
    began = time.monotonic()
    steps = tried(store, seconds=1)
    assert time.monotonic() - began < 2
    assert names(steps) == ["reach it and list", "end in time"] and "within 1 s" in steps[-1].message


def test_an_error_that_nobody_expected_is_not_swallowed(store):
    def broken():
        raise RuntimeError("a bug")
        yield

    with pytest.raises(RuntimeError, match="a bug"):
        [*trial.within(broken(), 5)]
