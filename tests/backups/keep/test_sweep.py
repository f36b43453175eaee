"""Leftovers: found with all that they consist of, shown first, and never somebody else's."""

import io
import shutil
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from backups.destinations import _s3_upload
from backups.destinations.local import TEMPORARY
from backups.destinations.local import Plugin as Local
from backups.keep import sweep
from backups.models import Copy, Destination, Leftover, Set
from backups.storage import layout, publish, signing
from backups.takes import take
from drcenter.audit.models import Entry, Result
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from drcenter.panel.pages import address
from tests.backups.destinations import s3_server
from tests.backups.destinations.conftest import s3_keys, s3_port
from tests.backups.keeping_sets import kept_set, rules
from tests.backups.taking import quick

__all__ = ["quick", "s3_keys", "s3_port"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
OLD = timedelta(days=3)


@pytest.fixture
def bucket(s3_keys, s3_port):
    name = s3_server.new_bucket(s3_port)
    return Destination.objects.create(name="bucket", kind="s3", options=s3_server.options(s3_port, name))


def attempt(destination, *, age=timedelta(), owner=None, names=("parts/01-a-b.tar.zst", "restore.sh")) -> str:
    """The folder of an attempt that began so long ago, and has no manifest."""
    owner = publish.signing_key().fingerprint if owner is None else owner
    prefix = f"shop/{layout.new_identifier(timezone.now() - age, 1, signing.mark(owner))}/"
    store = destination.build()
    for name in names:
        store.put(prefix + name, io.BytesIO(b"half"))
    return prefix


def looked(destination) -> dict[str, str]:
    return {row.prefix: row.kept_because for row in sweep.look(destination)}


def swept(destination) -> Job:
    job = sweep.request(destination, requested_by="otto")
    run_job(job.pk)
    job.refresh_from_db()
    return job


def keys(destination) -> list[str]:
    return [one.key for one in destination.build().list_versions("")]


@pytest.mark.parametrize("place", ["destination", "bucket"])
def test_what_is_left_is_found_after_a_day_and_removed(request, place, plan, time_machine):
    destination = request.getfixturevalue(place)
    plan.destinations.set([destination])
    good = kept_set(plan, 1)
    store = destination.build()
    store.put("notes.txt", io.BytesIO(b"foreign"))
    prefix = attempt(destination)
    assert looked(destination) == {prefix: sweep.YOUNG}
    assert swept(destination).state == State.SUCCEEDED
    assert prefix + "restore.sh" in keys(destination)
    time_machine.shift(25 * 3600)
    assert looked(destination) == {prefix: ""}
    assert swept(destination).state == State.SUCCEEDED
    assert "notes.txt" in keys(destination)
    assert {key.split("/")[1] for key in keys(destination) if "/" in key} == {good.identifier}
    entry = Entry.objects.get(action="backups.sweep.removed")
    assert (entry.actor, entry.facts["prefix"], entry.facts["objects"]) == ("otto", prefix, 2)
    assert not Leftover.objects.exists()


def test_unfinished_uploads_alone_are_found(bucket, s3_port, time_machine):
    place = bucket.build().inner._place
    name = f"drc/shop/{layout.new_identifier(timezone.now(), 1, signing.mark(publish.signing_key().fingerprint))}/parts/01-a-b.x.zst"
    place.client.create_multipart_upload(Bucket=place.bucket, Key=name)
    assert list(looked(bucket).values()) == [sweep.YOUNG]
    time_machine.shift(25 * 3600)
    assert list(looked(bucket).values()) == [""]
    assert swept(bucket).state == State.SUCCEEDED
    assert list(_s3_upload.unfinished(place, "")) == []


def test_unfinished_files_of_a_killed_worker_are_found(destination, time_machine):
    prefix = attempt(destination, names=("restore.sh",))
    folder = destination.build().inner._root / prefix / "parts"
    folder.mkdir()
    (folder / f"{TEMPORARY}0011").write_bytes(b"half")
    time_machine.shift(25 * 3600)
    (row,) = sweep.look(destination)
    assert (row.prefix, row.objects_count, row.kept_because) == (prefix, 2, "")
    swept(destination)
    assert not folder.parent.exists()


def test_another_dr_center_in_the_same_bucket_is_never_touched(destination, time_machine):
    mine = publish.signing_key().fingerprint
    other = ("0" if mine[0] != "0" else "1") + mine[1:]
    theirs, ours = attempt(destination, owner=other), attempt(destination)
    time_machine.shift(400 * 86400)
    assert looked(destination) == {theirs: sweep.FOREIGN, ours: ""}
    swept(destination)
    assert {key.rpartition("/parts")[0] + "/" for key in keys(destination) if "parts" in key} == {theirs}


def test_sets_that_are_taken_carry_the_mark_of_this_dr_center(plan, destination, key):
    plan.level = "intact"
    plan.save()
    job = take.request(plan, requested_by="anna").job
    run_job(job.pk)
    one = Set.objects.get()
    assert one.state == Set.State.COMPLETE, one.message
    assert signing.is_marked(one.identifier, publish.signing_key().fingerprint)
    assert looked(destination) == {}


@pytest.mark.parametrize(
    ("set_state", "copy_state", "expected"),
    [
        ("running", None, sweep.AT_WORK),
        ("waiting", None, sweep.AT_WORK),
        ("complete", "writing", sweep.AT_WORK),
        ("complete", "complete", sweep.DAMAGED),
        ("complete", "damaged", sweep.DAMAGED),
        ("complete", "removing", sweep.PRUNED),
        ("removed", "removed", ""),
        ("failed", "failed", ""),
        ("lost", None, ""),
    ],
)
def test_the_catalogue_has_the_last_word(plan, destination, time_machine, set_state, copy_state, expected):
    prefix = attempt(destination)
    one = Set.objects.create(
        system=plan.system, plan=plan, state=set_state, identifier=prefix.split("/")[1], attempt=1
    )
    if copy_state:
        Copy.objects.create(set=one, destination=destination, state=copy_state)
    time_machine.shift(25 * 3600)
    assert looked(destination) == {prefix: expected}


@pytest.mark.parametrize("what", ["became a set", "is written to", "is at work"])
def test_what_has_changed_since_the_look_stays(plan, destination, time_machine, what):
    prefix = attempt(destination)
    time_machine.shift(25 * 3600)
    assert looked(destination) == {prefix: ""}
    if what == "became a set":
        destination.build().put(prefix + layout.MANIFEST, io.BytesIO(b"{}"))
    elif what == "is at work":
        Set.objects.create(system=plan.system, state="running", identifier=prefix.split("/")[1])
    else:
        time_machine.shift(-25 * 3600)
    before = keys(destination)
    job = swept(destination)
    assert keys(destination) == before
    assert (job.state == State.FAILED) == (what == "became a set")


def test_death_half_way_is_finished_by_the_next(destination, monkeypatch, time_machine):
    prefix = attempt(destination)
    time_machine.shift(25 * 3600)
    looked(destination)
    delete, calls = Local.delete, []

    def dies(self, key):
        if calls:
            raise KeyboardInterrupt
        calls.append(key)
        delete(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(Local, "delete", dies)
        assert swept(destination).state != State.SUCCEEDED
    assert len(keys(destination)) == 1
    assert Leftover.objects.get().prefix == prefix
    time_machine.shift(25 * 3600)
    assert swept(destination).state == State.SUCCEEDED
    assert keys(destination) == []


def test_a_destination_that_is_away_keeps_the_list(destination, tmp_path):
    attempt(destination)
    looked(destination)
    shutil.move(tmp_path / "sets", tmp_path / "away")
    job = sweep.request(destination, kind=sweep.LOOK, requested_by="otto")
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert Leftover.objects.count() == 1


def test_it_looks_once_a_day(destination, time_machine):
    sweep.look_due()
    sweep.look_due()
    assert Job.objects.filter(kind=sweep.LOOK).count() == 1
    run_job(Job.objects.get().pk)
    time_machine.shift(25 * 3600)
    sweep.look_due()
    assert Job.objects.filter(kind=sweep.LOOK).count() == 2


def test_from_the_shell_the_list_comes_first(destination, capsys, time_machine):
    prefix = attempt(destination)
    call_command("backup", "sweep")
    assert f"{prefix}  2" in capsys.readouterr().out
    time_machine.shift(25 * 3600)
    with pytest.raises(SystemExit) as ended:
        call_command("backup", "sweep", "disk")
    assert ended.value.code == 3
    assert "With --yes" in capsys.readouterr().out
    assert len(keys(destination)) == 2
    call_command("backup", "sweep", "disk", "--yes")
    assert keys(destination) == []


def test_in_the_panel(as_operator, operator, destination, time_machine):
    attempt(destination)
    time_machine.shift(25 * 3600)
    looked(destination)
    as_operator.force_login(operator)
    assert "Broken-off runs left" in as_operator.get("/admin/").text
    page = as_operator.get(address(destination)).text
    assert "Remove leftovers" in page
    assert as_operator.get(address(destination, "sweep")).status_code == 200
    assert as_operator.get(address(destination, "look")).status_code == 405
    assert not Job.objects.exists()
    assert as_operator.post(address(destination, "look")).status_code == 302
    assert as_operator.post(address(destination, "sweep")).status_code == 302
    assert {job.kind for job in Job.objects.all()} == {sweep.LOOK, sweep.KIND}


def test_a_viewer_may_not(as_viewer, destination):
    for name in ("look", "sweep"):
        assert as_viewer.post(address(destination, name)).status_code == 403
    assert {entry.result for entry in Entry.objects.all()} == {Result.REFUSED}


def test_pruning_and_sweeping_do_not_meet(plan, destination):
    """A copy that retention removes has lost its manifest: it is retention's to finish."""
    rules(plan, daily=7)
    one = kept_set(plan, 9)
    one.copies.update(state=Copy.State.REMOVING)
    destination.build().delete(one.prefix + layout.MANIFEST)
    assert list(looked(destination).values()) == [sweep.PRUNED]
