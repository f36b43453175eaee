"""Who works with the panel in the tests, and on what."""

import sqlite3

import pytest
from django.contrib.auth.models import Permission, User

from backups.models import Copy, Destination, Part, Plan, RecoveryKey, Set, Source
from drcenter import permissions
from drcenter.jobs.models import Job, State
from drcenter.systems.models import System

PASSWORD = "correct horse battery"
SEE = [
    "view_system",
    "view_source",
    "view_destination",
    "view_plan",
    "view_set",
    "view_part",
    "view_copy",
    "view_verification",
    "view_recovery",
    "view_logstream",
    "view_rebuild",
    "view_drill",
    "view_drillcheck",
    "view_drillschedule",
    "view_recoverykey",
    "view_channel",
    "view_delivery",
    "view_job",
    "view_retention",
    "view_freeze",
    "view_pin",
    "view_leftover",
    "view_entry",
]
ACTS = (
    permissions.RUN_PLAN,
    permissions.VERIFY_SET,
    permissions.RESTORE_BESIDE,
    permissions.RESTORE_PRODUCTION,
    permissions.CANCEL_JOB,
    permissions.PIN_SET,
    permissions.COPY_SET,
    permissions.RUN_DRILL,
    permissions.RUN_STREAM,
    permissions.PRUNE_PLAN,
    permissions.THAW_FREEZE,
    permissions.SWEEP_DESTINATION,
)


def person(name: str, codenames=(), **flags) -> User:
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True, **flags)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


@pytest.fixture
def viewer(db):
    """Sees everything, may do nothing."""
    return person("vera", SEE)


@pytest.fixture
def operator(db):
    """Sees everything, may do every act, edits nothing."""
    return person("otto", [*SEE, *(name.partition(".")[2] for name in ACTS)])


@pytest.fixture
def admin(db):
    return person("ada", is_superuser=True)


@pytest.fixture
def outsider(db):
    """May sign in, and has no right at all."""
    return person("olga")


@pytest.fixture
def as_viewer(client, viewer):
    client.force_login(viewer)
    return client


@pytest.fixture
def as_operator(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def as_admin(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def system(db):
    return System.objects.create(slug="shop", name="Webshop")


@pytest.fixture
def database(system, tmp_path):
    """A source: a SQLite database of a hundred rows."""
    path = tmp_path / "shop.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total TEXT)")
        connection.executemany("INSERT INTO orders (total) VALUES (?)", [(f"{n}.00",) for n in range(100)])
    connection.close()
    return Source.objects.create(
        system=system, name="database", engine="sqlite", tier="database", options={"path": str(path)}
    )


@pytest.fixture
def uploads(system, tmp_path):
    """A source: a directory with two files."""
    root = tmp_path / "uploads"
    root.mkdir()
    (root / "one.txt").write_text("one")
    (root / "two.txt").write_text("two")
    return Source.objects.create(
        system=system, name="uploads", engine="files", tier="storage", options={"path": str(root)}
    )


@pytest.fixture
def destination(db, tmp_path):
    place = Destination.objects.create(name="disk", kind="local", options={"path": str(tmp_path / "sets")})
    place.build().prepare()
    return place


@pytest.fixture
def key(db):
    """A recovery key, and the identity in `key.identity`."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    row = RecoveryKey.objects.create(name="safe", recipient=str(identity.to_public()))
    row.identity = str(identity)
    return row


@pytest.fixture
def plan(system, database, uploads, destination):
    row = Plan.objects.create(system=system, name="daily")
    row.sources.set([database, uploads])
    row.destinations.set([destination])
    return row


@pytest.fixture
def taken(plan, destination):
    """The row of a complete, encrypted set with one copy; nothing of it lies in storage."""
    from django.utils import timezone

    now = timezone.now()
    row = Set.objects.create(
        system=plan.system, plan=plan, identifier="20261120T020000Z-1-abcd", state=Set.State.COMPLETE,
        level="proven", started_at=now, moment=now, finished_at=now, stored_size=2048, plain_size=4096,
    )  # fmt: skip
    for order, source in enumerate(plan.sources.all()):
        Part.objects.create(
            set=row, source=source, source_name=source.name, order=order, name="data", suffix="x",
            engine=source.engine, tier=source.tier, key=f"{row.prefix}{order}", plain_size=1, stored_size=1,
        )  # fmt: skip
    Copy.objects.create(set=row, destination=destination, state=Copy.State.COMPLETE, level="proven")
    return row


@pytest.fixture
def copy(taken):
    return taken.copies.get()


@pytest.fixture
def running_job(db):
    from django.utils import timezone

    now = timezone.now()
    return Job.objects.create(
        kind="backups.take", title="Back up shop: daily", subject=1, target="system:1", state=State.RUNNING,
        requested_by="otto", started_at=now, heartbeat_at=now, phase="Reading", item="database",
        bytes_done=50_000_000, bytes_expected=200_000_000, rate=10_000_000,
    )  # fmt: skip
