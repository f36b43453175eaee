"""Unchanged parts stored once, as a choice of the plan: what is referred to, proven, restored, and what is not."""

import sqlite3
from pathlib import Path

import pyrage
import pytest

from backups.destinations import local
from backups.models import Destination, Level, Recovery, RecoveryKey, Set, Verification
from backups.recovery import production
from backups.storage.references import owner_of
from drcenter.errors import OperationFailed
from tests.backups.scene import flip
from tests.backups.takes.test_increments import scene_of
from tests.backups.taking import objects_in, quick, root, taken, verified

__all__ = ["quick", "scene_of"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


@pytest.fixture
def once(plan, key):
    plan.store_once = True
    plan.save()
    return plan


def link(plan) -> Set:
    one = taken(plan)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    return one


def owners(one: Set) -> dict[str, str]:
    return {part.source_name: owner_of(part.key) for part in one.parts.all()}


def change(database) -> None:
    with sqlite3.connect(database.options["path"]) as connection:
        connection.execute("UPDATE orders SET total = 'other' WHERE id = 7")
    connection.close()


def test_what_is_the_same_is_stored_once(once, destination, database, scene_of):
    first, second = link(once), link(once)
    assert owners(first) == {"database": "", "uploads": ""} and not first.needs.exists()
    assert owners(second) == {"database": first.identifier, "uploads": first.identifier}
    assert (list(second.needs.all()), second.stored_size) == ([first], 0)
    assert not [name for name in objects_in(destination) if name.startswith(f"{second.prefix}parts/")]
    change(database)
    third = link(once)
    assert owners(third) == {"database": "", "uploads": first.identifier}
    fourth = link(once)
    assert owners(fourth) == {"database": third.identifier, "uploads": first.identifier}
    assert set(fourth.needs.all()) == {first, third}
    rows, files = scene_of(fourth).everything()
    change(database)
    recovery = scene_of(fourth).over()
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert scene_of(fourth).everything() == (rows, files)
    # What is saved before a restore is complete in itself.
    assert not recovery.safety_set.needs.exists()


def test_proven_by_the_earlier_proof_and_says_so(once, key):
    first, second = link(once), link(once)
    assert (first.level, first.level_reason) == (Level.PROVEN, "")
    assert second.level == Level.PROVEN
    assert f"byte for byte that of {first}, which is proven" in second.level_reason
    verification = verified(second.copies.get(), Level.PROVEN, key.identity)
    assert (verification.state, verification.message) == (Verification.State.PASSED, "")
    assert {"database", "uploads"} == verification.facts.keys()


def test_not_proven_when_the_source_held_what_the_dump_does_not_tell(once):
    """As FLOAT columns do: the dump is the same, the data are not."""
    first = link(once)
    Set.objects.filter(pk=first.pk).update(witnesses={"database": "0" * 64, "uploads": "0" * 64})
    second = link(once)
    assert second.level == Level.INTACT and "cannot be read here" in second.level_reason


def test_not_proven_on_what_is_not(once):
    once.level = Level.INTACT
    once.save()
    link(once)
    once.level = Level.PROVEN
    once.save()
    assert link(once).level == Level.INTACT


def test_off_each_set_is_complete_in_itself(once):
    once.store_once = False
    once.save()
    link(once)
    assert owners(link(once)) == {"database": "", "uploads": ""}


def test_a_damaged_object_is_not_referred_to(once, destination, key):
    first = link(once)
    part = first.parts.get(source_name="database")
    flip(root(destination) / first.prefix / part.key)
    verified(first.copies.get(), Level.INTACT, key.identity)
    assert owners(link(once)) == {"database": "", "uploads": ""}


def test_an_object_that_is_gone_is_not_referred_to(once, destination):
    first = link(once)
    (root(destination) / first.prefix / first.parts.get(source_name="database").key).unlink()
    assert owners(link(once)) == {"database": "", "uploads": first.identifier}


def test_for_other_keys_it_is_stored_again(once):
    link(once)
    RecoveryKey.objects.create(name="second", recipient=str(pyrage.x25519.Identity.generate().to_public()))
    assert owners(link(once)) == {"database": "", "uploads": ""}


def test_where_nothing_may_be_deleted_the_part_stays(once, monkeypatch):
    def refused(self, key: str) -> None:
        raise OperationFailed("Access denied.", permanent=True)

    link(once)
    monkeypatch.setattr(local.Plugin, "delete", refused)
    one = link(once)
    assert owners(one) == {"database": "", "uploads": ""} and one.level == Level.PROVEN


def test_a_damage_tells_of_every_set_that_refers_to_it(once, destination, key, scene_of):
    first, second = link(once), link(once)
    flip(root(destination) / first.prefix / first.parts.get(source_name="database").key)
    recovery = scene_of(second).beside(database="beside")
    assert recovery.state == Recovery.State.FAILED
    assert f"{first.identifier}, which this set needs" in recovery.message
    assert {Set.objects.get(pk=one.pk).level for one in (first, second)} == {""}


def test_copies_elsewhere_have_what_they_need(once, tmp_path, scene_of):
    other = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    other.build().prepare()
    link(once)
    once.destinations.add(other)
    # The first set has no copy there.
    second = link(once)
    assert set(owners(second).values()) == {""}
    third = link(once)
    assert set(owners(third).values()) == {second.identifier}
    scene = scene_of(third)
    scene.copy = third.copies.get(destination=other)
    assert scene.beside(database="beside").state == Recovery.State.SUCCEEDED
    assert Path(scene.database_path.parent / "beside").exists()
    assert production.PAUSES == ()
