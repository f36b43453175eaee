"""What makes parts a set: the manifest last, and only by the attempt that still owns the row."""

import hashlib

import pytest

from backups.destinations.local import Plugin as Local
from backups.models import Destination, Level, Set
from backups.places import copying
from backups.storage import publish
from backups.storage.checksums import parse_checksums
from backups.storage.layout import MANIFEST, Manifest
from backups.storage.readback import ReadableCopy
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from tests.backups.taking import good, nothing_stored, quick, root, sets_in, taken

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key")]


@pytest.fixture
def plan(plan):
    plan.level = Level.INTACT
    plan.save()
    return plan


@pytest.fixture
def puts(monkeypatch) -> list[str]:
    """The keys in the order in which they were stored."""
    original, keys = Local.put, []

    def put(self, key, stream, **more):
        stored = original(self, key, stream, **more)
        keys.append(key.partition("/")[2].partition("/")[2])
        return stored

    monkeypatch.setattr(Local, "put", put)
    return keys


def test_the_manifest_is_the_last_object_and_names_every_part(plan, destination, puts) -> None:
    one = good(plan)
    # Records tell of a set that exists: they come after it.
    puts = [name for name in puts if not name.startswith("records/")]
    assert puts[-1] == MANIFEST
    assert puts.count(MANIFEST) == 1
    copy = ReadableCopy(destination.build(), one.prefix)
    manifest = Manifest.from_bytes(copy.content(MANIFEST))
    assert (manifest.identifier, manifest.attempt) == (one.identifier, 1)
    assert [part.stored_sha256 for part in manifest.parts] == [part.stored_sha256 for part in one.parts.all()]
    assert manifest.signing_key == publish.signing_key().fingerprint
    digests = parse_checksums(copy.content("checksums.txt").decode())
    assert set(digests) == set(puts) - {"checksums.txt", "checksums.txt.sig"}


def test_an_attempt_that_was_overtaken_writes_no_manifest(plan, destination, puts, monkeypatch) -> None:
    """The row changes hands at the last moment before the manifest, while the heartbeat has not seen it."""
    original = publish.signing.SigningKey.sign

    def sign(self, content):
        Set.objects.update(attempt=2)
        return original(self, content)

    monkeypatch.setattr(publish.signing.SigningKey, "sign", sign)
    wanted = take.request(plan, requested_by="anna")
    assert run_job(wanted.job_id) == "failed"
    assert MANIFEST not in puts
    assert "taken this set over" in Job.objects.get(pk=wanted.job_id).message
    assert nothing_stored(destination)


def test_a_manifest_of_an_attempt_that_is_overtaken_meanwhile_goes_first(
    plan, destination, monkeypatch
) -> None:
    """The row changes hands while the manifest is being written; the manifest goes before anything else."""
    original = Local.put

    def put(self, key, stream, **more):
        if key.endswith(MANIFEST):
            Set.objects.update(attempt=2)
        return original(self, key, stream, **more)

    monkeypatch.setattr(Local, "put", put)
    left = []
    monkeypatch.setattr(
        take, "fail", lambda taking, error: left.extend([nothing_stored(destination), sets_in(destination)])
    )
    wanted = take.request(plan, requested_by="anna")
    assert run_job(wanted.job_id) == "failed"
    assert "taken this set over" in Job.objects.get(pk=wanted.job_id).message
    assert left == [False, []]


def test_sets_have_numbers_and_name_the_one_before(plan, destination, monkeypatch) -> None:
    """The number of a try that fails is not given again: a leftover of it is no fork."""
    first = good(plan)
    with monkeypatch.context() as broken:
        broken.setattr(publish.signing.SigningKey, "sign", lambda self, content: b"nothing" / 0)
        assert taken(plan).state == Set.State.FAILED
    second = good(plan)
    manifests = [
        Manifest.from_bytes(ReadableCopy(destination.build(), one.prefix).content(MANIFEST))
        for one in (first, second)
    ]
    assert [manifest.number for manifest in manifests] == [first.number, second.number] == [1, 3]
    checksums = ReadableCopy(destination.build(), first.prefix).content("checksums.txt")
    assert manifests[0].predecessor is None
    before = manifests[1].predecessor
    assert before is not None
    assert (before.set, before.sha256) == (first.identifier, hashlib.sha256(checksums).hexdigest())
    assert first.checksums_sha256 == before.sha256
    assert manifests[1].time_zone == "Europe/Berlin"


@pytest.mark.parametrize("name", ["restore.sh", "checksums.txt", MANIFEST])
def test_what_does_not_come_back_as_it_was_stored_fails_the_set(plan, destination, monkeypatch, name) -> None:
    original = Local.put

    def put(self, key, stream, **more):
        stored = original(self, key, stream, **more)
        if key.endswith(name):
            path = self._root / key
            path.write_bytes(path.read_bytes()[:-1])
        return stored

    monkeypatch.setattr(Local, "put", put)
    one = taken(plan)
    assert one.state == Set.State.FAILED
    assert f"{name} does not come back" in one.message
    assert nothing_stored(destination)


def test_a_withdrawal_takes_the_manifest_first(plan, destination, monkeypatch) -> None:
    """A worker that dies while it cleans up leaves parts, and never a manifest without them."""
    from backups.recovery.aftermath import withdraw

    one = good(plan)
    deleted = []
    monkeypatch.setattr(Local, "delete", lambda self, key: deleted.append(key))
    assert withdraw(destination.build(), one.prefix) == ""
    assert deleted[0] == one.prefix + MANIFEST
    assert len(deleted) == len(set(deleted)) == len(list((root(destination) / one.prefix).rglob("*.*")))


def test_copying_checks_every_digest(plan, destination, tmp_path) -> None:
    one = good(plan)
    place = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    other = place.build()
    other.prepare()
    script = root(destination) / one.prefix / "restore.sh"
    script.write_text(script.read_text() + "\n")
    with pytest.raises(OperationFailed, match=r"restore\.sh is damaged where it is copied from"):
        copying.copy(ReadableCopy(destination.build(), one.prefix), other, lambda count: None)
    assert not (root(place) / one.prefix / MANIFEST).exists()
    assert not (root(place) / one.prefix / "restore.sh").exists()
