"""restore.sh on a bare machine, of a set whose files are increments: the tree as of the chosen set, or a clear sentence."""

import os
import re
import shutil
from pathlib import Path

import pytest

from backups.engines import build
from backups.models import Destination, Level, Plan, Set, Source
from backups.storage import publish
from backups.storage.references import owner_of
from backups.takes import take
from drcenter.jobs.work import run_job
from drcenter.systems.models import System
from tests.live.bare_machine import BareMachine
from tests.live.bare_sets import look_at_tree, plant_tree

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["dash", "busybox"])
def machine(request, tmp_path) -> BareMachine:
    return BareMachine(tmp_path / "machine", request.param).furnish()


def plan_of(tree: Path, store: Path) -> Plan:
    system = System.objects.create(slug="shop", name="Shop")
    destination = Destination.objects.create(name="disk", kind="local", options={"path": str(store)})
    destination.build().prepare()
    plan = Plan.objects.create(
        system=system, name="hourly", level=Level.INTACT, increments=5, full_above_percent=100
    )
    plan.destinations.add(destination)
    options = build("files", {"path": str(tree)}).options
    plan.sources.add(
        Source.objects.create(system=system, name="uploads", engine="files", tier="storage", options=options)
    )
    return plan


def taken(plan: Plan) -> Set:
    wanted = take.request(plan, requested_by="anna")
    run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.COMPLETE, (one.message, one.hint)
    return one


def first_change(tree: Path) -> None:
    """Changed, removed, renamed, and what stood in the place of something of another kind."""
    (tree / "run.sh").write_text("#!/bin/sh\n# changed\n")
    (tree / "with space\nand a line").unlink()
    Path(os.fsdecode(os.fsencode(tree) + b"/bytes-\xff")).rename(tree / "--renamed")
    shutil.rmtree(tree / "deep")
    (tree / "deep").symlink_to("/etc")
    (tree / "empty").rmdir()
    (tree / "empty").write_text("a file now")


def second_change(tree: Path) -> None:
    (tree / "deep").unlink()
    (tree / "deep").mkdir()
    (tree / "deep" / "passwd").write_text("not the machine's")
    (tree / "--renamed").unlink()
    (tree / "new").write_text("new")
    # Named as a part: what the details say of the file must not be taken for what they say of the part.
    (tree / "parts").mkdir()
    (tree / "parts" / "01-uploads-tree.tar.zst.age").write_text("a trap")
    (tree / "places").write_text("another")


@pytest.fixture
def chain(tmp_path, key, settings) -> tuple[list[Set], list[dict], Path, str]:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    tree = plant_tree(tmp_path / "tree")
    plan, sets, looks = plan_of(tree, tmp_path / "store"), [], []
    for change in (None, first_change, second_change):
        if change:
            change(tree)
        sets.append(taken(plan))
        looks.append(look_at_tree(tree))
    assert [one.needs.count() for one in sets] == [0, 1, 2]
    return sets, looks, tmp_path / "store" / "shop", key.identity


def carry(machine: BareMachine, folders: Path, identity: str) -> None:
    """All folders of the system, as they lie in the store."""
    shutil.copytree(folders, machine.root / "srv" / "shop")
    (machine.root / "root" / "identity.txt").write_text(identity + "\n")
    (machine.root / "root" / "key.pem").write_text(publish.signing_key().public_pem)
    (machine.root / "etc" / "passwd").write_text("the machine's own\n")


def restore(machine: BareMachine, one: Set, *words: str):
    directory = f"/srv/shop/{one.identifier}"
    return machine.run("sh", "restore.sh", *words, "--identity", "/root/identity.txt", directory=directory)


def test_each_set_of_a_chain_restores_as_it_was(machine, chain):
    sets, looks, folders, identity = chain
    carry(machine, folders, identity)
    for number, (one, look) in enumerate(zip(sets, looks, strict=True)):
        done = restore(machine, one, "storage", "--target", f"/srv/back{number}", "--yes")
        assert done.returncode == 0, done.stdout
        found = look_at_tree(machine.root / "srv" / f"back{number}")
        assert found == look
    assert (machine.root / "etc" / "passwd").read_text() == "the machine's own\n"
    original = restore(machine, sets[2], "list")
    assert re.search(r"uploads +\(storage\) +-> \S+/tree", original.stdout)
    checked = restore(machine, sets[2], "check", "--key", "/root/key.pem")
    assert checked.returncode == 0 and "All parts can be unpacked" in checked.stdout, checked.stdout
    assert "Verified Successfully" in checked.stdout


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_set_that_it_needs_is_missing(machine, chain, how):
    sets, _looks, folders, identity = chain
    carry(machine, folders, identity)
    base = machine.root / "srv" / "shop" / sets[0].identifier
    part = next(base.glob("parts/*tree*"))
    if how == "gone":
        shutil.rmtree(base)
    else:
        part.write_bytes(part.read_bytes()[:-5])
    for words in (["check"], ["storage", "--target", "/srv/back", "--yes"]):
        done = restore(machine, sets[2], *words)
        assert done.returncode == 1, done.stdout
        assert sets[0].identifier in done.stdout
    assert not (machine.root / "srv" / "back").exists()
    needed = [part.key for part in sets[2].parts.all() if owner_of(part.key) == sets[0].identifier]
    assert needed


def test_names_that_lead_out_of_the_tree_are_not_followed(machine, chain):
    """A list of removed names that nobody honest wrote: no name of it is removed, and the restore says so."""
    sets, _looks, folders, identity = chain
    carry(machine, folders, identity)
    (machine.root / "srv" / "precious").write_text("precious")
    done = machine.run(
        "sh", "-c",
        "sed -n '/^remove_listed()/,/^}/p' restore.sh >/tmp/removal && . /tmp/removal && mkdir -p /srv/tree && "
        "ln -s /srv /srv/tree/out && printf '%s\\0' \"$0\" | (remove_listed /srv/tree)",
        *["/srv/precious"], directory=f"/srv/shop/{sets[2].identifier}",
    )  # fmt: skip
    assert done.returncode != 0
    assert (machine.root / "srv" / "precious").exists()
