"""Removing what retention lets go: all of it, nothing else, and never half."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from backups import verify
from backups.destinations.local import Plugin as Local
from backups.keep import prune
from backups.keep.freeze import freeze_destination, thaw
from backups.keep.keeping import forecast
from backups.keep.prune import ask_due
from backups.models import Copy, Destination, Freeze, Part, Plan, Rebuild, Recovery, Set, Verification
from backups.rebuild import confirm
from backups.storage import layout
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from drcenter.notify.models import Delivery
from tests.backups.keeping_sets import add_copy, ages, kept_set, objects, rules
from tests.backups.taking import channel, quick  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


@pytest.fixture
def plan(plan):
    plan.encrypt = False
    return rules(plan, daily=7)


def run(plan: Plan) -> Job:
    job = prune.request(plan, requested_by="otto")
    run_job(job.pk)
    job.refresh_from_db()
    return job


def good(plan: Plan) -> None:
    job = run(plan)
    assert job.state == State.SUCCEEDED, job.message


def test_what_is_let_go_goes_everywhere_and_is_told_why(plan, destination, tmp_path):
    other = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    other.build().prepare()
    plan.destinations.add(other)
    sets = [kept_set(plan, days) for days in range(10)]
    good(plan)
    assert ages(plan) == list(range(7))
    kept = {one.identifier for one in sets[:7]}
    assert objects(destination) == objects(other) == kept
    gone = Set.objects.get(pk=sets[9].pk)
    assert (gone.state, gone.level, gone.removed_at is not None) == (Set.State.REMOVED, "", True)
    assert {copy.state for copy in gone.copies.all()} == {Copy.State.REMOVED}
    assert not Part.objects.filter(set=gone).exists()
    entry = Entry.objects.get(action="backups.prune.removed", object_id=str(gone.pk))
    assert (entry.actor, entry.facts["reason"][:20]) == ("otto", "no rule reaches back")


def test_a_second_delivery_removes_nothing_more(plan):
    for days in range(10):
        kept_set(plan, days)
    good(plan)
    job = Job.objects.get(kind=prune.KIND)
    run_job(job.pk)
    good(plan)
    assert ages(plan) == list(range(7))
    assert Entry.objects.filter(action="backups.prune.removed").count() == 3


def test_the_manifest_goes_first(plan, destination, monkeypatch):
    deleted = []
    delete = Local.delete
    monkeypatch.setattr(Local, "delete", lambda self, key: deleted.append(key) or delete(self, key))
    for days in range(8):
        kept_set(plan, days)
    good(plan)
    assert deleted[0].endswith("/manifest.json")
    assert len(deleted) == 4


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_death_half_way_leaves_no_set_and_the_next_run_ends_it(plan, destination, monkeypatch, after):
    """The process is gone after `after` objects: what follows a kill is the next run."""
    for days in range(8):
        last = kept_set(plan, days)
    delete, count = Local.delete, [0]

    def dies(self, key):
        if count[0] == after:
            raise KeyboardInterrupt
        count[0] += 1
        delete(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(Local, "delete", dies)
        assert run(plan).state != State.SUCCEEDED
    copy = last.copies.get()
    assert copy.state == Copy.State.REMOVING
    names = {one.key for one in destination.build().list(last.prefix)}
    assert (last.prefix + layout.MANIFEST in names) == (after == 0)
    with pytest.raises(OperationFailed):
        verify.request(copy, "stored", requested_by="vera")
    good(plan)
    last.refresh_from_db()
    assert last.state == Set.State.REMOVED
    assert last.identifier not in objects(destination)


@pytest.mark.usefixtures("channel")
def test_a_destination_that_is_away_keeps_its_copies_and_people_hear_once(plan, destination, tmp_path):
    other = Destination.objects.create(name="other", kind="local", options={"path": str(tmp_path / "other")})
    other.build().prepare()
    plan.destinations.add(other)
    for days in range(10):
        kept_set(plan, days)
    (tmp_path / "other").rename(tmp_path / "unmounted")
    for _again in range(2):
        job = run(plan)
        assert (job.state, "other is not there" in job.message) == (State.FAILED, True)
    assert ages(plan) == list(range(10))
    assert len(objects(destination)) == 7
    assert [one.title for one in Delivery.objects.all()] == ["shop: daily: old sets cannot be removed"]
    (tmp_path / "unmounted").rename(tmp_path / "other")
    good(plan)
    assert ages(plan) == list(range(7))
    assert len(objects(other)) == 7


def test_a_destination_that_still_lists_is_asked_again(plan, destination, monkeypatch):
    for days in range(8):
        last = kept_set(plan, days)
    with monkeypatch.context() as patch:
        patch.setattr(Local, "delete", lambda self, key: None)
        job = run(plan)
    assert (job.state, "still lists" in job.message) == (State.FAILED, True)
    assert last.copies.get().state == Copy.State.REMOVING
    good(plan)
    assert last.copies.get().state == Copy.State.REMOVED


def test_a_destination_that_is_switched_off_is_left_alone(plan, destination):
    for days in range(10):
        kept_set(plan, days)
    Destination.objects.update(enabled=False)
    good(plan)
    assert ages(plan) == list(range(10))
    assert len(objects(destination)) == 10


# ---------------------------------------------------------------------------- what stays


def busy_with(one: Set, kind: str) -> None:
    copy = one.copies.get()
    if kind == "verified":
        Verification.objects.create(copy=copy, wanted="proven", state=Verification.State.RUNNING)
    elif kind == "restored":
        Recovery.objects.create(copy=copy, place="beside", state=Recovery.State.WAITING)
    elif kind == "way back":
        other = one.plan.sets.complete().order_by("-moment").first().copies.get()
        Recovery.objects.create(copy=other, place="production", state=Recovery.State.RUNNING, safety_set=one)
    elif kind == "written":
        Copy.objects.filter(pk=copy.pk).update(state=Copy.State.WRITING)
    elif kind == "working":
        job = Job.objects.create(kind="backups.take", subject=one.pk, target="x", state=State.RUNNING)
        Set.objects.filter(pk=one.pk).update(job=job)
    elif kind == "pinned":
        one.pins.create(reason="audit", pinned_at=timezone.now(), token="t")
    elif kind == "needed":
        one.plan.sets.complete().order_by("-moment").first().needs.add(one)
    elif kind == "needed elsewhere":
        plan = Plan.objects.create(system=one.system, name="other")
        Set.objects.create(system=one.system, plan=plan, state=Set.State.COMPLETE).needs.add(one)


@pytest.mark.parametrize(
    "kind",
    ["verified", "restored", "way back", "written", "working", "pinned", "needed", "needed elsewhere"],
)
def test_what_is_in_use_stays(plan, destination, kind):
    sets = [kept_set(plan, days) for days in range(9)]
    busy_with(sets[8], kind)
    good(plan)
    assert ages(plan) == [*range(7), 8]
    assert sets[8].identifier in objects(destination)
    assert sets[7].identifier not in objects(destination)


@pytest.mark.parametrize("kind", ["verified", "restored", "pinned", "needed"])
def test_what_somebody_begins_to_use_meanwhile_stays(plan, destination, monkeypatch, kind):
    sets = [kept_set(plan, days) for days in range(9)]
    mark = prune._mark
    monkeypatch.setattr(
        prune,
        "_mark",
        lambda copy: (busy_with(copy.set, kind) if copy.set == sets[8] else None, mark(copy))[1],
    )
    good(plan)
    assert ages(plan) == [*range(7), 8]
    assert sets[8].identifier in objects(destination)


def test_a_chain_goes_from_its_end(plan, monkeypatch):
    sets = [kept_set(plan, days) for days in range(10)]
    for later, earlier in ((7, 8), (8, 9)):
        sets[later].needs.add(sets[earlier])
    good(plan)
    gone = Entry.objects.filter(action="backups.prune.removed").order_by("pk")
    assert [int(entry.object_id) for entry in gone] == [sets[7].pk, sets[8].pk, sets[9].pk]


def test_a_link_that_does_not_go_keeps_what_it_needs(plan, destination):
    sets = [kept_set(plan, days) for days in range(10)]
    sets[7].needs.add(sets[8])
    sets[7].copies.update(locked_until=timezone.now() + timedelta(days=1))
    sets[7].copies.update(state=Copy.State.COMPLETE)
    off = Destination.objects.create(name="off", kind="local", options={"path": "/nowhere"}, enabled=False)
    Copy.objects.create(set=sets[7], destination=off, state=Copy.State.COMPLETE)
    good(plan)
    assert ages(plan) == [*range(7), 7, 8]
    assert sets[8].identifier in objects(destination)


def test_a_foreign_file_and_other_systems_are_left_alone(plan, destination):
    store = destination.build()
    for days in range(9):
        last = kept_set(plan, days)
    strange = ["notes.txt", f"other/{last.identifier}/manifest.json", f"{last.system.slug}/notes.txt"]
    for key in strange:
        store.put(key, io.BytesIO(b"mine"))
    good(plan)
    assert {one.key for one in store.list("")} >= set(strange)


# ---------------------------------------------------------------------------- freezes


def frozen(plan: Plan) -> list[str]:
    return [reason["doubt"] for one in Freeze.objects.stopping(plan) for reason in one.reasons]


@pytest.mark.usefixtures("channel")
def test_too_many_at_once_freezes_and_a_person_lets_it_go_on(plan, destination):
    for days in range(30):
        kept_set(plan, days)
    job = run(plan)
    assert (job.state, job.permanent) == (State.FAILED, True)
    assert job.message == "Nothing was removed: 23 of 30 sets would be removed at once."
    assert (frozen(plan), len(objects(destination))) == (["share"], 30)
    assert [one.event for one in Delivery.objects.all()] == ["failure"]
    with pytest.raises(OperationFailed, match="23 of 30"):
        prune.request(plan, requested_by="otto")
    (one,) = Freeze.objects.stopping(plan)
    with pytest.raises(OperationFailed, match="Say why"):
        thaw(one, reason="  ", actor="ada")
    thaw(one, reason="new rules", actor="ada", seen=forecast(plan))
    with pytest.raises(OperationFailed, match="ended already"):
        thaw(one, reason="twice", actor="ada")
    good(plan)
    assert ages(plan) == list(range(7))
    assert Entry.objects.get(action="backups.prune.thawed").facts == {"reason": "new rules", "sets": 23}
    good(plan)


def test_what_a_person_agreed_to_covers_no_other_sets(plan):
    for days in range(30):
        kept_set(plan, days)
    run(plan)
    seen = forecast(plan)
    more = [kept_set(plan, days + 0.5) for days in range(30)]
    thaw(Freeze.objects.get(), reason="yes", actor="ada", seen=seen)
    good(plan)
    assert {one.pk for one in plan.sets.complete()} >= {one.pk for one in more}


def test_a_listing_that_has_shrunk_freezes(plan, destination, tmp_path):
    sets = [kept_set(plan, days) for days in range(9)]
    for one in sets[3:9]:
        destination.build().delete(one.prefix + layout.MANIFEST)
    assert run(plan).state == State.FAILED
    assert frozen(plan) == ["listing"]


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumped_removes_nothing(plan, destination, time_machine, days):
    rules(plan, days=8)
    for age in range(9):
        kept_set(plan, age)
    good(plan)
    time_machine.shift(timedelta(days=days))
    before = objects(destination)
    job = run(plan)
    assert (job.state, bool(frozen(plan))) == ((State.FAILED, True) if days > 0 else (State.SUCCEEDED, False))
    assert objects(destination) == before


def test_a_frozen_destination_stops_every_plan_with_copies_there(plan, destination):
    for days in range(9):
        kept_set(plan, days)
    one = freeze_destination(destination, "The catalogue was rebuilt.")
    assert freeze_destination(destination, "again") == one
    with pytest.raises(OperationFailed, match="rebuilt"):
        prune.request(plan, requested_by="otto")
    ask_due()
    assert not Job.objects.filter(kind=prune.KIND).exists()
    thaw(one, reason="looked", actor="ada")
    good(plan)
    assert ages(plan) == list(range(7))


def test_after_a_rebuild_pruning_waits_for_a_person(plan):
    for days in range(9):
        kept_set(plan, days)
    one = Rebuild.objects.create(destination=plan.destinations.get(), changed=True, requested_by="ada")
    with pytest.raises(OperationFailed, match="nobody has confirmed"):
        prune.request(plan, requested_by="otto")
    ask_due()
    assert not Job.objects.filter(kind=prune.KIND).exists()
    assert "nobody has confirmed" in forecast(plan).waits
    confirm(one, "ada")
    good(plan)
    assert ages(plan) == list(range(7))


def test_sets_of_another_dr_center_are_left_alone(plan, destination):
    for days in range(9):
        kept_set(plan, days, foreign=True)
    good(plan)
    assert len(objects(destination)) == 9


# ---------------------------------------------------------------------------- when


def asked(plan: Plan) -> int:
    ask_due()
    ask_due()
    return Job.objects.filter(kind=prune.KIND, subject=plan.pk).count()


def test_a_plan_is_looked_at_after_a_new_set_and_once_a_day(plan, time_machine):
    assert asked(plan) == 0
    kept_set(plan, 0.01)
    assert asked(plan) == 1
    run_job(Job.objects.get(kind=prune.KIND).pk)
    assert asked(plan) == 1
    time_machine.shift(timedelta(hours=2))
    assert asked(plan) == 1
    kept_set(plan, 0.01)
    assert asked(plan) == 2
    run_job(Job.objects.filter(kind=prune.KIND).order_by("-pk")[0].pk)
    time_machine.shift(timedelta(hours=25))
    assert asked(plan) == 3


@pytest.mark.parametrize("change", [{"retention": None}, {"enabled": False}])
def test_plans_without_rules_or_switched_off_are_left_alone(plan, change):
    Plan.objects.update(**change)
    kept_set(plan, 0.01)
    assert asked(plan) == 0


def test_a_plan_without_a_class_keeps_everything(plan):
    plan.retention = None
    plan.save()
    for days in range(10):
        kept_set(plan, 100 * days)
    good(plan)
    assert len(ages(plan)) == 10


def test_a_copy_at_one_place_may_outlive_the_other(plan, destination, tmp_path):
    other = Destination.objects.create(name="off", kind="local", options={"path": str(tmp_path / "o")})
    other.build().prepare()
    for days in range(8):
        last = kept_set(plan, days)
    add_copy(last, other)
    Destination.objects.filter(pk=other.pk).update(enabled=False)
    good(plan)
    states = dict(last.copies.values_list("destination__name", "state"))
    assert states == {"disk": "removed", "off": "complete"}
    last.refresh_from_db()
    assert last.state == Set.State.COMPLETE


def test_a_listing_is_compared_with_the_last_one_too(plan, destination):
    """The catalogue lost the same sets as the store: the two agree, and yet less is there than the last time."""
    sets = [kept_set(plan, days) for days in range(10)]
    good(plan)
    for one in sets[2:5]:
        for name in ("parts/01-files-data.tar.zst", "details.json.zst", "checksums.txt", layout.MANIFEST):
            destination.build().delete(one.prefix + name)
        one.delete()
    job = run(rules(Plan.objects.get(pk=plan.pk), daily=2))
    assert job.state == State.FAILED
    [values] = [one["values"] for one in Freeze.objects.get().reasons if one["doubt"] == "listing"]
    assert (values["listed"], values["expected"]) == (4, 7)


def test_what_was_removed_since_the_last_listing_is_not_missed(plan):
    for days in range(10):
        kept_set(plan, days)
    good(plan)
    kept_set(plan, 8)
    good(plan)
    good(plan)
    assert not Freeze.objects.exists()
