"""A stolen writer neither deletes nor overwrites: versions and locks of a server that keeps them, behind the policies
that the documentation gives. And the product works with no more rights than these."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import build
from backups.destinations.base import Role
from backups.keep import prune, sweep
from backups.models import Copy, Destination, Leftover, Set
from drcenter.errors import OperationFailed
from drcenter.jobs.models import State
from drcenter.jobs.work import run_job
from tests.backups.destinations import s3_server
from tests.backups.destinations.authorising_s3 import AuthorisingServer, policy
from tests.backups.keeping_sets import kept_set, rules
from tests.backups.taking import good, quick, taken, verified

__all__ = ["quick"]
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
KEYS = {"writer": "AKIAWRITER", "pruner": "AKIAPRUNER", "reader": "AKIAREADER"}


@pytest.fixture
def bucket(locking_port):
    return s3_server.new_bucket(locking_port, locks=True)


@pytest.fixture
def server(locking_port, bucket):
    rights = {key: policy(name, bucket, "drc") for name, key in KEYS.items()}
    with AuthorisingServer(locking_port, rights) as server:
        yield server


@pytest.fixture
def options(server, bucket, monkeypatch):
    for name, key in KEYS.items():
        monkeypatch.setenv(f"TEST_{name.upper()}", key)
    monkeypatch.setenv("TEST_SECRET", "never-checked")
    given = {"access_key": "env:TEST_WRITER", "secret_key": "env:TEST_SECRET", "never_replace": True}
    for role, name in (("prune", "PRUNER"), ("read", "READER")):
        given |= {f"{role}_access_key": f"env:TEST_{name}", f"{role}_secret_key": "env:TEST_SECRET"}
    return s3_server.options(server.port, bucket, **given)


@pytest.fixture
def place(options):
    return Destination(name="vault", kind="s3", options=options)


def client(port: int, key: str):
    import boto3

    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key="never-checked")
    return session.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")


def there(locking_port, bucket) -> list[tuple]:
    """Everything in the bucket, with its bytes, as its owner sees it."""
    owner = s3_server.client(locking_port)
    found = owner.list_object_versions(Bucket=bucket)
    assert not found.get("DeleteMarkers")
    return [
        (
            one["Key"], one["VersionId"], one["IsLatest"],
            owner.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read(),
        )
        for one in found["Versions"]
    ]  # fmt: skip


def in_parts(stolen, bucket, **more) -> None:
    target = {"Bucket": bucket, "Key": "drc/shop/a"}
    upload = stolen.create_multipart_upload(**target)["UploadId"]
    try:
        part = stolen.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"ransom")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        stolen.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts, **more)
    except BaseException:
        stolen.abort_multipart_upload(**target, UploadId=upload)
        raise


# Later than the tests begin by any time that all of them may take.
EARLY = datetime.now(UTC) + timedelta(days=1)
TRIES = {
    "delete": lambda s3, at, version: s3.delete_object(**at),
    "delete the version": lambda s3, at, version: s3.delete_object(**at, VersionId=version),
    "delete past the lock": lambda s3, at, version: s3.delete_object(
        **at, VersionId=version, BypassGovernanceRetention=True
    ),
    "delete many": lambda s3, at, version: s3.delete_objects(
        Bucket=at["Bucket"], Delete={"Objects": [{"Key": at["Key"]}]}
    ),
    "overwrite": lambda s3, at, version: s3.put_object(**at, Body=b"ransom"),
    "overwrite on condition": lambda s3, at, version: s3.put_object(**at, Body=b"ransom", IfNoneMatch="*"),
    "overwrite in parts": lambda s3, at, version: in_parts(s3, at["Bucket"]),
    "overwrite in parts on condition": lambda s3, at, version: in_parts(s3, at["Bucket"], IfNoneMatch="*"),
    "copy over it": lambda s3, at, version: s3.copy_object(
        **at, CopySource={"Bucket": at["Bucket"], "Key": "drc/b"}
    ),
    "shorten the lock": lambda s3, at, version: s3.put_object_retention(
        **at, VersionId=version, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": EARLY}
    ),
    "lift the lock": lambda s3, at, version: s3.put_object_retention(
        **at, VersionId=version, Retention={}, BypassGovernanceRetention=True
    ),
    "stop the versions": lambda s3, at, version: s3.put_bucket_versioning(
        Bucket=at["Bucket"], VersioningConfiguration={"Status": "Suspended"}
    ),
    "let it expire": lambda s3, at, version: s3.put_bucket_lifecycle_configuration(
        Bucket=at["Bucket"],
        LifecycleConfiguration={
            "Rules": [{"ID": "x", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]
        },
    ),
    "delete the bucket": lambda s3, at, version: s3.delete_bucket(Bucket=at["Bucket"]),
}


@pytest.mark.parametrize("act", TRIES)
def test_a_stolen_writer_neither_deletes_nor_overwrites(place, server, bucket, locking_port, act):
    from botocore.exceptions import ClientError

    store = place.build()
    version = store.put("shop/a", io.BytesIO(b"precious")).version
    store.put("b", io.BytesIO(b"other"))
    if act.endswith("the lock"):
        store.inner.options["lock_mode"] = "GOVERNANCE"
        store.lock("shop/a", UNTIL)
    before = there(locking_port, bucket)
    stolen = client(server.port, KEYS["writer"])
    with pytest.raises(ClientError, match=r"AccessDenied|PreconditionFailed"):
        TRIES[act](stolen, {"Bucket": bucket, "Key": "drc/shop/a"}, version)
    assert there(locking_port, bucket) == before


@pytest.mark.parametrize("act", ["delete", "delete many", "overwrite", "overwrite in parts", "copy over it"])
def test_with_more_rights_the_same_tries_do_harm(place, server, bucket, locking_port, act):
    """Otherwise the test above would show nothing."""
    store = place.build()
    version = store.put("shop/a", io.BytesIO(b"precious")).version
    store.put("b", io.BytesIO(b"other"))
    actions = ["s3:DeleteObject", "s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:Other"]
    server.rights["AKIAOWNER"] = [{"Action": actions, "Resource": "*"}]
    TRIES[act](client(server.port, "AKIAOWNER"), {"Bucket": bucket, "Key": "drc/shop/a"}, version)
    found = s3_server.client(locking_port).list_object_versions(Bucket=bucket)
    latest = [one["VersionId"] for one in found["Versions"] if one["Key"] == "drc/shop/a" and one["IsLatest"]]
    assert latest != [version]


def test_what_the_writer_may(place, server):
    store = place.build()
    store.put("shop/small", io.BytesIO(b"x"))
    store.put("shop/large", io.BytesIO(bytes(17 << 20)))
    with store.open("shop/large") as stream:
        assert len(stream.read()) == 17 << 20
    assert [one.key for one in store.list("")] == ["shop/large", "shop/small"]
    assert server.refused == []
    with pytest.raises(OperationFailed, match="PreconditionFailed"):
        store.put("shop/small", io.BytesIO(b"y"))


@pytest.mark.parametrize("role", [Role.PRUNE, Role.READ])
def test_the_others_write_nothing(place, role):
    with pytest.raises(OperationFailed, match="refuses access"):
        place.build(role).put("shop/a", io.BytesIO(b"x"))


def test_the_reader_removes_nothing(place):
    place.build().put("shop/a", io.BytesIO(b"x"))
    with pytest.raises(OperationFailed, match="refuses access"):
        place.build(Role.READ).delete("shop/a")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
class TestWithNoMoreRights:
    @pytest.fixture
    def plan(self, plan, place):
        place.save()
        plan.destinations.set([place])
        plan.level = "intact"
        plan.save()
        return plan

    def test_a_set_is_taken_by_the_writer_and_verified_by_the_reader(self, plan, key, server):
        one = good(plan)
        assert verified(one.copies.get(), "proven", key.identity).state == "passed"
        assert server.refused == []

    def test_the_pruner_removes_every_version(self, plan, server, bucket, locking_port):
        rules(plan, daily=2)
        sets = [kept_set(plan, days) for days in range(4)]
        job = prune.request(plan, requested_by="otto")
        run_job(job.pk)
        job.refresh_from_db()
        assert job.state == State.SUCCEEDED, job.message
        names = {key.split("/")[2] for key, *_rest in there(locking_port, bucket)}
        assert names == {one.identifier for one in sets[:2]}
        assert server.refused == []

    def test_a_locked_copy_stays_and_is_shown_so(self, plan, place, bucket, locking_port):
        rules(plan, daily=2)
        sets = [kept_set(plan, days) for days in range(4)]
        store = place.build()
        for stored in store.list(sets[3].prefix):
            store.lock(stored.key, UNTIL)
        for _again in range(2):
            job = prune.request(plan, requested_by="otto")
            run_job(job.pk)
            job.refresh_from_db()
            assert job.state == State.SUCCEEDED, job.message
        copy = sets[3].copies.get()
        assert (copy.state, copy.locked_until) == (Copy.State.COMPLETE, UNTIL)
        assert Set.objects.get(pk=sets[2].pk).state == Set.State.REMOVED
        assert sum(sets[3].identifier in key for key, *_rest in there(locking_port, bucket)) == 4

    def test_what_breaks_off_is_left_to_the_sweep(self, plan, place, uploads, key):
        """The writer may not withdraw what it had stored: the row says so, and the pruner removes it a day later."""
        uploads.engine, uploads.options = (
            "command",
            {"argv": ["sh", "-c", "echo half; exit 3"], "suffix": "txt"},
        )
        uploads.save()
        failed = taken(plan)
        assert failed.state == Set.State.FAILED
        assert "it is swept later" in failed.message
        (row,) = sweep.look(place)
        assert (row.prefix, row.kept_because) == (failed.prefix, sweep.YOUNG)
        Leftover.objects.update(kept_because="")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweep, "GRACE", timedelta(0))
            job = sweep.request(place, requested_by="otto")
            run_job(job.pk)
        job.refresh_from_db()
        assert job.state == State.SUCCEEDED, job.message
        assert list(place.build(Role.READ).list_versions("")) == []


def test_a_wrong_key_is_refused(options):
    with pytest.raises(OperationFailed, match="refuses access"):
        build("s3", options | {"prune_access_key": "env:TEST_SECRET"}, Role.PRUNE).delete("shop/a")
