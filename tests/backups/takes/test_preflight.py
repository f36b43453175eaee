"""What is looked at before a run: sources, room, and the size afterwards."""

import pytest

from backups.destinations.base import Space
from backups.engines.base import Inspection
from backups.models import Set, Source
from backups.takes import preflight
from drcenter.errors import OperationFailed

pytestmark = pytest.mark.django_db

GIB = 1 << 30


@pytest.mark.parametrize(
    ("total", "free", "needed", "result"),
    [
        (None, None, GIB, "fine"),
        (0, 0, GIB, "fine"),
        (100 * GIB, 50 * GIB, GIB, "fine"),
        (100 * GIB, 20 * GIB, 5 * GIB, "fine"),
        (100 * GIB, 20 * GIB, 5 * GIB + 1, "warned"),
        (100 * GIB, 2 * GIB, 2 * GIB, "warned"),
        (100 * GIB, 2 * GIB, 2 * GIB + 1, "refused"),
        (100 * GIB, 0, 1, "refused"),
    ],
)
def test_room(total, free, needed, result) -> None:
    try:
        found = preflight.check_space(Space(total, free), needed, "/backups")
    except OperationFailed as error:
        assert result == "refused"
        assert "add a destination" in error.hint
        return
    assert bool(found) == (result == "warned")
    if found:
        assert not found[0].caps
        assert "full after this set" in found[0].message


def looked(*sizes: int) -> list[preflight.Looked]:
    return [preflight.Looked(Source(), None, Inspection(size)) for size in sizes]  # type: ignore[arg-type]


def test_the_estimate_learns_from_the_last_set(plan) -> None:
    assert preflight.estimate(plan, looked(600, 400)) == 550
    Set.objects.create(system=plan.system, plan=plan, state="complete", plain_size=1000, stored_size=100)
    assert preflight.estimate(plan, looked(600, 400)) == 110


def test_the_estimate_does_not_learn_from_an_increment(plan) -> None:
    full = Set.objects.create(
        system=plan.system, plan=plan, state="complete", plain_size=1000, stored_size=400
    )
    one = Set.objects.create(system=plan.system, plan=plan, state="complete", plain_size=1000, stored_size=1)
    one.needs.add(full)
    assert preflight.estimate(plan, looked(600, 400)) == 440


@pytest.mark.parametrize(
    ("earlier", "now", "suspicious"),
    [
        ([], 5, False),
        ([1000], 5, False),
        ([1000, 1000], 499, True),
        ([1000, 1000], 500, False),
        ([1000, 900, 20], 400, True),
        ([1000, 900, 20, 20, 20], 15, False),
        ([0, 0], 0, False),
        ([1000, 1000], 5000, False),
    ],
)
def test_a_size_that_collapsed(plan, earlier, now, suspicious) -> None:
    for size in earlier:
        Set.objects.create(system=plan.system, plan=plan, state="complete", plain_size=size)
    Set.objects.create(system=plan.system, plan=plan, state="failed", plain_size=0)
    taken = Set.objects.create(system=plan.system, plan=plan, state="complete", plain_size=now)
    assert bool(preflight.check_size(taken)) == suspicious


def test_a_source_that_cannot_be_read_is_named(plan, database) -> None:
    database.options["path"] += ".gone"
    with pytest.raises(OperationFailed, match="shop/database: ") as caught:
        preflight.look([database])
    assert caught.value.hint


def test_a_tool_that_is_missing_is_named_with_its_package(uploads, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("backups.engines.files.Plugin.required_tools", ("age",))
    with pytest.raises(OperationFailed, match="shop/uploads: The tool age is not installed") as caught:
        preflight.look([uploads])
    assert "apt-get install age" in caught.value.hint
    assert caught.value.permanent
