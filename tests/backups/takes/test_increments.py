"""Sets whose files are increments: taken, proven, restored as a chain, and what breaks one."""

import os
import random
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import translation

from backups.models import Copy, Destination, Level, Recovery, Set, Verification
from backups.recovery import production
from backups.storage import layout
from backups.storage.references import owner_of
from drcenter.jobs.models import Line
from drcenter.process import Command, run
from drcenter.secrets import Secret
from drcenter.stored import shown
from tests.backups.scene import Scene, flip
from tests.backups.taking import quick, taken, verified

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


@pytest.fixture
def tree(plan, uploads, database, key) -> Path:
    """A directory of files that are large enough for a change of one to be small; the plan takes three increments."""
    root = Path(uploads.options["path"])
    source = random.Random(1)
    for number in range(40):
        (root / f"{number % 4}").mkdir(exist_ok=True)
        (root / f"{number % 4}" / f"{number}.bin").write_bytes(source.randbytes(20_000))
    plan.increments = 3
    plan.save()
    time.sleep(0.06)
    return root


def change(tree: Path, step: int) -> dict[str, bytes]:
    """One file is new, one is another, one is gone, one is called differently; all that is there then."""
    (tree / f"new {step}").write_bytes(b"new")
    (tree / "0" / f"{step * 4}.bin").write_bytes(os.urandom(20_000))
    (tree / "1" / f"{step * 4 + 1}.bin").unlink()
    (tree / "2" / f"{step * 4 + 2}.bin").rename(tree / "2" / f"renamed {step}")
    time.sleep(0.06)
    return contents(tree)


def contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def link(plan) -> Set:
    one = taken(plan)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    assert one.level == Level.PROVEN, one.level_reason
    return one


def said(one: Set) -> str:
    return "\n".join(Line.objects.filter(job=one.job_id).values_list("text", flat=True))


def own_bytes(one: Set) -> int:
    return sum(part.stored_size for part in one.parts.filter(source_name="uploads") if not owner_of(part.key))


@pytest.fixture
def chain(plan, tree) -> tuple[list[Set], list[dict[str, bytes]]]:
    """A full set and three increments, and what the tree held at each."""
    sets, states = [link(plan)], [contents(tree)]
    for step in range(1, 4):
        states.append(change(tree, step))
        sets.append(link(plan))
    return sets, states


def test_what_changed_is_stored_and_the_rest_is_referred_to(plan, tree, chain, database):
    (full, *increments), _states = chain
    assert "everything is stored. There is no index" in said(full)
    assert (list(full.needs.all()), full.level_reason) == ([], "")
    for number, one in enumerate(increments, 1):
        assert set(one.needs.all()) == {full, *increments[: number - 1]}
        assert own_bytes(one) < own_bytes(full) / 10
        assert "what changed" in one.level_reason and full.plain_size * 0.7 < one.plain_size
        # The database is stored whole in each.
        assert [owner_of(part.key) for part in one.parts.filter(source_name="database")] == [""]
    change(tree, 4)
    again = link(plan)
    assert list(again.needs.all()) == [] and "has 3 increments" in said(again)


def test_the_manifest_and_the_checksums_name_the_chain(chain, destination):
    sets, _states = chain
    root = Path(destination.options["path"])
    folder = root / sets[-1].prefix
    manifest = layout.Manifest.from_bytes((folder / "manifest.json").read_bytes())
    assert manifest.needs == tuple(one.identifier for one in sets[:-1])
    run(Command(("sh", "-c", f"cd '{folder}' && sha256sum --strict --quiet -c checksums.txt")))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_beside_as_of_the_chosen_set(scene_of, chain, number):
    sets, states = chain
    scene = scene_of(sets[number])
    recovery = scene.beside(uploads="beside")
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert contents(scene.directory.parent / "beside") == states[number]


@pytest.mark.parametrize("number", [0, 2])
def test_over_production_as_of_the_chosen_set(scene_of, chain, tree, number):
    sets, states = chain
    scene = scene_of(sets[number])
    shutil.rmtree(tree / "0")
    (tree / "0").write_text("a file where a directory was")
    (tree / f"renamed {number}").mkdir()
    (tree / "new 1").unlink()
    (tree / "new 1").mkdir()
    (tree / "new 1" / "inside").write_text("of today")
    (tree / "stranger").write_text("of today")
    recovery = scene.over()
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert contents(tree) == states[number]
    # The safety set is complete in itself, and the next increment is not on top of what is not there any more.
    assert recovery.safety_set is not None and not recovery.safety_set.needs.exists()


def test_after_a_restore_the_next_set_holds_all_that_came_back(scene_of, chain, plan, tree):
    sets, states = chain
    assert scene_of(sets[1]).over().state == Recovery.State.SUCCEEDED
    plan.increments = 10
    plan.save()
    following = link(plan)
    assert scene_of(following).beside(uploads="beside").differences == []
    assert contents(tree.parent / "beside") == states[1]


def test_what_was_shown_is_told_in_the_language_of_the_reader(chain):
    sets, _states = chain
    with translation.override("de"):
        assert "wurde wiederhergestellt und ist gleich" in shown(sets[1].level_reason)


def test_an_identity_proves_the_whole_chain(chain, key):
    sets, _states = chain
    verification = verified(sets[-1].copies.get(), Level.PROVEN, key.identity)
    assert verification.state == Verification.State.PASSED, verification.message
    assert "since" not in verification.facts["uploads"]
    assert verification.facts["uploads"]["contents"] > 40
    assert (Set.objects.get(pk=sets[-1].pk).level_reason, verification.message) == ("", "")


def test_intact_reads_the_whole_chain_back(chain, key, destination):
    sets, _states = chain
    copy = sets[-1].copies.get()
    assert verified(copy, Level.INTACT, key.identity).state == Verification.State.PASSED
    flip(part_of(sets[1], destination))
    for level, identity in ((Level.INTACT, key.identity), (Level.INTACT, None)):
        verification = verified(copy, level, identity)
        assert verification.state == Verification.State.DAMAGED
        assert f"{sets[1].identifier}, which this set needs" in verification.message


def part_of(one: Set, destination: Destination) -> Path:
    part = next(
        part for part in one.parts.filter(source_name="uploads", name="tree") if not owner_of(part.key)
    )
    return Path(destination.options["path"]) / one.prefix / part.key


@pytest.mark.parametrize("how", ["flipped", "gone", "details gone", "details changed"])
def test_a_lost_link_is_named_with_the_last_state_that_restores(scene_of, chain, destination, tree, how):
    sets, states = chain
    now = contents(tree)
    path = part_of(sets[2], destination)
    details = path.parent.parent / "details.json.zst.age"
    {
        "flipped": lambda: flip(path), "gone": path.unlink, "details gone": details.unlink,
        "details changed": lambda: flip(details),
    }[how]()  # fmt: skip
    scene = scene_of(sets[3])
    recovery = scene.over()
    assert recovery.state == Recovery.State.FAILED
    assert f"{sets[2].identifier}, which this set needs" in recovery.message
    assert str(sets[1]) in recovery.hint
    assert contents(tree) == now and scene.said == []
    assert sets[2].copies.get().state == Copy.State.DAMAGED
    assert {Set.objects.get(pk=one.pk).level for one in sets[2:]} == {""}
    assert {Set.objects.get(pk=one.pk).level for one in sets[:2]} == {Level.PROVEN}
    assert scene_of(sets[1]).beside(uploads="beside").state == Recovery.State.SUCCEEDED
    assert contents(tree.parent / "beside") == states[1]


def test_a_damaged_link_makes_the_next_set_full(plan, tree, chain, destination, key):
    sets, _states = chain
    plan.increments = 10
    plan.save()
    flip(part_of(sets[1], destination))
    verified(sets[1].copies.get(), Level.INTACT, key.identity)
    change(tree, 4)
    one = link(plan)
    assert not one.needs.exists() and "has no complete copy" in said(one)


class TestFullAgain:
    """What does not fit leads to a full set, and its log says why."""

    def full(self, plan, tree, reason: str) -> None:
        change(tree, 1)
        one = link(plan)
        assert not one.needs.exists()
        assert reason in said(one)

    @pytest.fixture(autouse=True)
    def first(self, plan, tree) -> Set:
        return link(plan)

    @pytest.fixture
    def index(self, plan, uploads, settings, first) -> Path:
        path = Path(settings.STATE_DIR) / "increments" / f"{plan.pk}-{uploads.pk}.index"
        assert path.stat().st_mode & 0o777 == 0o600
        return path

    def test_without_an_index(self, plan, tree, index):
        index.unlink()
        self.full(plan, tree, "no index")

    @pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe\n", b'{"set": 1}\n', b"[]\n"])
    def test_with_a_damaged_index(self, plan, tree, index, damage):
        index.write_bytes(damage)
        self.full(plan, tree, "cannot be read")

    def test_with_a_flipped_bit(self, plan, tree, index):
        flip(index)
        self.full(plan, tree, "damaged")

    def test_with_the_index_of_another_set(self, plan, tree, index, first):
        index.write_bytes(
            index.read_bytes().replace(first.identifier.encode(), b"20200101T000000Z-00000000-a1")
        )
        self.full(plan, tree, "not in the catalogue")

    def test_when_the_row_was_replaced(self, plan, tree, first):
        Set.objects.filter(pk=first.pk).update(details_sha256="0" * 64)
        self.full(plan, tree, "not in the catalogue")

    def test_with_other_recovery_keys(self, plan, tree):
        import pyrage

        from backups.models import RecoveryKey

        recipient = str(pyrage.x25519.Identity.generate().to_public())
        RecoveryKey.objects.create(name="second", recipient=recipient)
        self.full(plan, tree, "other recovery keys")

    def test_with_other_options(self, plan, tree, uploads):
        uploads.options["exclude"] = ["3"]
        uploads.save()
        self.full(plan, tree, "options")

    def test_after_days(self, plan, tree, first):
        Set.objects.filter(pk=first.pk).update(started_at=first.started_at - timedelta(days=8))
        self.full(plan, tree, "The last full set is from")

    def test_when_much_has_changed(self, plan, tree):
        for path in tree.rglob("*.bin"):
            path.write_bytes(os.urandom(20_000))
        self.full(plan, tree, "bytes have changed")

    def test_at_a_new_destination(self, plan, tree, tmp_path):
        other = Destination.objects.create(
            name="second", kind="local", options={"path": str(tmp_path / "second")}
        )
        other.build().prepare()
        plan.destinations.add(other)
        self.full(plan, tree, "has no copy at second")

    def test_after_a_set_that_differed(self, plan, tree, first):
        Set.objects.filter(pk=first.pk).update(capped=True)
        self.full(plan, tree, "differed")


def test_increments_that_grow_are_full_again(plan, tree):
    plan.increments, plan.full_above_percent = 100, 10
    plan.save()
    link(plan)
    needs = []
    for step in range(1, 8):
        (tree / "0" / f"{step * 4}.bin").write_bytes(os.urandom(20_000))
        needs.append(link(plan).needs.count())
    assert 0 in needs[1:] and max(needs) < 6


def test_a_copy_elsewhere_is_restored_from_there(plan, tree, tmp_path, scene_of):
    other = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    other.build().prepare()
    plan.destinations.add(other)
    link(plan)
    state = change(tree, 1)
    one = link(plan)
    copy = one.copies.get(destination=other)
    assert copy.state == Copy.State.COMPLETE, copy.message
    assert one.needs.count() == 1
    scene = scene_of(one)
    scene.copy = copy
    assert scene.beside(uploads="beside").differences == []
    assert contents(tree.parent / "beside") == state


def test_a_set_that_fails_leaves_the_index_of_the_one_before(plan, tree, monkeypatch):
    first = link(plan)
    change(tree, 1)
    with monkeypatch.context() as patch:
        patch.setattr("backups.storage.publish.publish", lambda taking: 1 / 0)
        failed = taken(plan)
    assert failed.state == Set.State.FAILED
    change(tree, 2)
    one = link(plan)
    assert list(one.needs.all()) == [first]


def test_on_a_set_that_is_not_proven(plan, tree):
    plan.level = Level.INTACT
    plan.save()
    taken(plan)
    change(tree, 1)
    plan.level = Level.PROVEN
    plan.save()
    one = taken(plan)
    assert one.state == Set.State.COMPLETE and one.level == Level.INTACT
    assert "is not proven" in one.level_reason


def test_a_damaged_increment_is_not_called_proven(plan, tree, monkeypatch):
    """What was restored of the increment is compared: here the restore loses a file."""
    from backups.engines.files import Plugin

    link(plan)
    change(tree, 1)
    monkeypatch.setattr(
        Plugin,
        "finish",
        lambda self, witness: os.unlink(Path(self.path) / "new 1") if witness is None else None,
    )
    one = taken(plan)
    assert one.level == Level.INTACT or one.capped
    (verification,) = Verification.objects.filter(copy__set=one)
    assert any("new 1: missing after the restore" in line for line in verification.differences)


@pytest.fixture
def scene_of(plan, database, uploads, key, tmp_path, monkeypatch):
    """Restores from the first copy of a set."""
    monkeypatch.setattr(production, "PAUSES", ())

    def make(one: Set) -> Scene:
        return Scene(
            plan.system, plan, database, uploads, Secret(key.identity), tmp_path / "commands.log",
            one.copies.order_by("pk").first(),
        )  # fmt: skip

    return make


def by_script(one: Set, destination: Destination, key, target: Path):
    """Restore with the set's own restore.sh."""
    identity = target.parent / "identity.txt"
    identity.write_text(f"{key.identity}\n")
    script = Path(destination.options["path"]) / one.prefix / "restore.sh"
    words = ("source", "uploads", "--target", str(target), "--identity", str(identity), "--yes")
    return run(Command(("sh", str(script), *words)), check=False)


@pytest.mark.parametrize("number", [0, 3])
def test_the_sets_own_script_restores_the_chain(chain, destination, key, tmp_path, number):
    sets, states = chain
    finished = by_script(sets[number], destination, key, tmp_path / "restored")
    assert finished.code == 0, finished.stderr
    assert contents(tmp_path / "restored") == states[number]


def test_the_sets_own_script_says_which_folder_is_missing(chain, destination, key, tmp_path):
    sets, _states = chain
    shutil.rmtree(Path(destination.options["path"]) / sets[1].prefix)
    finished = by_script(sets[3], destination, key, tmp_path / "restored")
    assert finished.code != 0 and not (tmp_path / "restored").exists()
    assert f"the folder of the set {sets[1].identifier} has to lie beside this one" in finished.stderr
