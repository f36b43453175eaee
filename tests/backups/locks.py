"""A plan whose copies go to a bucket that locks, on a server that keeps its locks."""

from typing import Any

import pytest

from backups.models import Destination, Level, Plan
from tests.backups.destinations import s3_server
from tests.backups.destinations.conftest import locking_port, s3_keys, short_pauses

__all__ = ["bucket", "locking_port", "place", "s3_keys", "short_pauses", "versions"]


@pytest.fixture
def bucket(locking_port):
    return s3_server.new_bucket(locking_port, locks=True)


@pytest.fixture
def place(db, locking_port, bucket, s3_keys, plan):
    """A destination with locks of 30 days; the only one of the plan."""
    options = s3_server.options(locking_port, bucket, lock_mode="COMPLIANCE", lock_days=30)
    row = Destination.objects.create(name="vault", kind="s3", options=options)
    plan.destinations.set([row])
    Plan.objects.filter(pk=plan.pk).update(level=Level.INTACT)
    plan.refresh_from_db()
    return row


def versions(port: int, bucket: str, prefix: str = "drc/") -> list[dict[str, Any]]:
    """Every version of every object of sets, with its lock, past the product's own eyes.

    Without what is written beside a set later on (records), which is no part of it.
    """
    client = s3_server.client(port)
    found = []
    for one in client.list_object_versions(Bucket=bucket, Prefix=prefix).get("Versions", []):
        if "/records/" in one["Key"]:
            continue
        head = client.head_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        lock = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
        found.append({"key": one["Key"], "version": one["VersionId"], "lock": lock})
    return found
