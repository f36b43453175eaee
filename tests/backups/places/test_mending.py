"""What is damaged beside the data of a copy: told loudly, written again, and the data stay good."""

import pytest

from backups.models import Copy, Destination, Level
from backups.places import mending
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import State
from drcenter.jobs.work import run_job
from drcenter.notify.models import Delivery
from tests.backups.taking import channel, good, quick, root, verified

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]
NAMES = ["RESTORE.md", "log.txt", "restore.sh"]


@pytest.fixture
def copy(plan, destination) -> Copy:
    plan.level = Level.INTACT
    plan.save()
    return good(plan).copies.get(destination=destination)


def path_of(copy: Copy, name: str):
    return root(copy.destination) / copy.set.prefix / name


def spoil(copy: Copy, name: str, how: str = "changed") -> bytes:
    """What it was before."""
    before = path_of(copy, name).read_bytes()
    if how == "missing":
        path_of(copy, name).unlink()
    else:
        path_of(copy, name).write_bytes(before + b"\nrm -rf /\n")
    return before


def mend(copy: Copy):
    job = mending.request(copy, requested_by="vera")
    run_job(job.pk)
    job.refresh_from_db()
    copy.refresh_from_db()
    return job


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("how", "level"), [("changed", "proven"), ("changed", "intact"), ("missing", "stored")]
)
def test_the_data_stay_what_they_are_and_it_is_told(copy, key, name, how, level) -> None:
    spoil(copy, name, how)
    done = verified(copy, level, key.identity)
    assert (done.state, done.reached) == ("passed", level)
    copy.refresh_from_db()
    assert (copy.state, copy.spoiled) == (Copy.State.COMPLETE, [name])
    assert copy.level == ("proven" if level == "proven" else "intact")
    assert copy.set.best_level() == copy.level
    [told] = Delivery.objects.filter(title__contains="damaged beside the data")
    assert name in told.title and "Do not run its restore.sh" in told.body
    assert Entry.objects.filter(action="backups.copy.spoiled").count() == 1
    verified(copy, level, key.identity)
    assert Delivery.objects.filter(title__contains="damaged beside the data").count() == 1


def test_without_an_identity_too(copy) -> None:
    spoil(copy, "restore.sh")
    assert verified(copy, "intact").state == "undecided"
    copy.refresh_from_db()
    assert (copy.state, copy.spoiled) == (Copy.State.COMPLETE, ["restore.sh"])


def test_a_look_at_sizes_alone_clears_nothing_and_reading_does(copy, key) -> None:
    before = spoil(copy, "restore.sh")
    verified(copy, "intact", key.identity)
    path_of(copy, "restore.sh").write_bytes(before)
    verified(copy, "stored")
    copy.refresh_from_db()
    assert copy.spoiled == ["restore.sh"]
    verified(copy, "intact", key.identity)
    copy.refresh_from_db()
    assert copy.spoiled == []


def test_the_panel_offers_the_restore_and_says_what_is_damaged(copy, key, as_admin) -> None:
    spoil(copy, "restore.sh")
    verified(copy, "intact", key.identity)
    for address in (
        f"/admin/backups/set/{copy.set_id}/change/",
        f"/admin/backups/copy/{copy.pk}/change/",
        "/admin/",
    ):
        page = as_admin.get(address).content.decode()
        assert "damaged or missing beside them: restore.sh" in page, address
        assert "Do not run its restore.sh" in page
    page = as_admin.get(f"/admin/backups/copy/{copy.pk}/change/").content.decode()
    assert f"/admin/backups/copy/{copy.pk}/production/" in page
    address = f"/admin/backups/copy/{copy.pk}/mend/"
    assert address in page
    assert "restore.sh" in as_admin.get(address).content.decode()
    assert copy.spoiled == [] and not mending.Job.objects.filter(kind=mending.KIND).exists()
    assert as_admin.post(address).status_code == 302
    assert mending.Job.objects.get(kind=mending.KIND).requested_by == "ada"


def test_script_and_guide_are_made_again_byte_for_byte(copy, key) -> None:
    before = {name: spoil(copy, name) for name in ("restore.sh", "RESTORE.md")}
    verified(copy, "intact", key.identity)
    copy.refresh_from_db()
    assert mend(copy).state == State.SUCCEEDED
    assert copy.spoiled == []
    assert {name: path_of(copy, name).read_bytes() for name in before} == before
    verified(copy, "intact", key.identity)
    copy.refresh_from_db()
    assert copy.spoiled == []


def test_the_log_comes_from_another_copy_and_else_it_is_said(plan, copy, key, tmp_path) -> None:
    spoil(copy, "log.txt")
    verified(copy, "intact", key.identity)
    copy.refresh_from_db()
    job = mend(copy)
    assert job.state == State.FAILED
    assert "log.txt" in job.message and "The data are not affected" in job.hint
    assert copy.spoiled == ["log.txt"] and copy.state == Copy.State.COMPLETE
    other = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    place = other.build()
    place.prepare()
    good_log = b"not the one that was published"
    (tmp_path / "other" / copy.set.prefix).mkdir(parents=True)
    (tmp_path / "other" / copy.set.prefix / "log.txt").write_bytes(good_log)
    Copy.objects.create(set=copy.set, destination=other, state=Copy.State.COMPLETE, level="stored")
    assert mend(copy).state == State.FAILED
    assert path_of(copy, "log.txt").read_bytes() != good_log


def test_the_log_of_another_copy(plan, key, destination, tmp_path) -> None:
    other = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    other.build().prepare()
    plan.destinations.add(other)
    plan.level = Level.INTACT
    plan.save()
    copy = good(plan).copies.get(destination=destination)
    before = spoil(copy, "log.txt")
    verified(copy, "intact", key.identity)
    copy.refresh_from_db()
    assert mend(copy).state == State.SUCCEEDED
    assert path_of(copy, "log.txt").read_bytes() == before


def test_nothing_to_write_again_is_refused(copy) -> None:
    with pytest.raises(OperationFailed, match="Nothing beside the data"):
        mending.request(copy, requested_by="vera")


def test_a_store_that_lies_of_its_checksums_changes_nothing(copy, key) -> None:
    """Who changed the script changed the list of digests, too: that is damage of what a restore needs."""
    spoil(copy, "restore.sh")
    verified(copy, "intact", key.identity)
    spoil(copy, "checksums.txt")
    copy.refresh_from_db()
    job = mend(copy)
    assert job.state == State.FAILED and "checksums.txt is not the one" in job.message
    assert copy.spoiled == ["restore.sh"]
