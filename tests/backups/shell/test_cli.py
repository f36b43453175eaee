"""Finding rows by the names that people type."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from backups.models import Copy, Destination, Plan, Set
from backups.shell import cli
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_set(system, destination):
    """make_set(hours, state of its copy, fields): a complete set, so many hours old."""
    count = iter(range(100))

    def make(hours: float = 1, copy: str = Copy.State.COMPLETE, **fields) -> Set:
        now = timezone.now() - timedelta(hours=hours)
        given = {"system": system, "state": Set.State.COMPLETE, "moment": now, "started_at": now}
        one = Set.objects.create(identifier=f"20260102T030405Z-{next(count):08x}-a1", **given | fields)
        Copy.objects.create(set=one, destination=destination, state=copy)
        return one

    return make


def test_a_system_by_its_key_or_its_name(system) -> None:
    assert cli.system_named("shop") == cli.system_named("Webshop") == system
    System.objects.create(slug="other", name="Other")
    with pytest.raises(CommandError, match=r"no system shoop\. There are: other, shop") as caught:
        cli.system_named("shoop")
    assert caught.value.returncode == cli.USAGE


def test_no_system_at_all() -> None:
    with pytest.raises(CommandError, match=r"none yet: manage\.py protect"):
        cli.system_named("shop")


def test_the_only_plan_needs_no_name(plan, system) -> None:
    assert cli.plan_of(system, None) == cli.plan_of(system, "daily") == plan
    Plan.objects.create(system=system, name="weekly")
    with pytest.raises(CommandError, match="with --profile: daily, weekly"):
        cli.plan_of(system, None)
    with pytest.raises(CommandError, match=r"no plan hourly\. It has: daily, weekly"):
        cli.plan_of(system, "hourly")


def test_a_set_by_its_names(make_set, system) -> None:
    old, new = make_set(5), make_set(1)
    assert cli.set_named("shop") == cli.set_named("Webshop") == new
    assert cli.set_named(old.identifier) == cli.set_named(f"shop/{old.identifier}") == old
    System.objects.create(slug="other", name="Other")
    for text in (f"other/{old.identifier}", "other", "", "nothing", "shop/"):
        with pytest.raises(CommandError, match="There is no complete set") as caught:
            cli.set_named(text)
        assert caught.value.returncode == cli.USAGE
    with pytest.raises(CommandError, match=f"The newest: {new}, {old}"):
        cli.set_named("shop/nothing")
    # A system that does not exist has no sets, and those of the others are what was meant.
    with pytest.raises(CommandError, match=f"The newest: {new}, {old}"):
        cli.set_named("nosuch/20260102")
    with pytest.raises(CommandError, match=r"other has none yet: manage\.py backup run other --wait"):
        cli.set_named("other/20260102")


def test_the_newest_is_the_newest_that_is_of_use(make_set, system) -> None:
    assert cli.newest_of(system) is None
    wanted = make_set(5)
    make_set(1, Copy.State.DAMAGED)
    make_set(1, state=Set.State.FAILED)
    # It holds what was wrong before a restore.
    safety = make_set(0.5, reason=Set.Reason.SAFETY)
    assert cli.newest_of(system) == cli.set_named("shop") == wanted
    assert cli.set_named(safety.identifier) == safety


def test_a_set_whose_moment_is_newer_counts_as_newer(make_set, system) -> None:
    newer = make_set(1)
    make_set(9)
    assert cli.newest_of(system) == newer


def test_the_best_copy(make_set, destination) -> None:
    one = make_set()
    first = one.copies.get()
    levels = {"b": "stored", "c": "proven", "d": "intact", "e": "proven"}
    for name, level in levels.items():
        place = Destination.objects.create(name=name, kind="local", options={"path": f"/{name}"})
        Copy.objects.create(set=one, destination=place, state=Copy.State.COMPLETE, level=level)
    assert cli.copy_of(one, None).destination.name == "c"
    assert cli.copy_of(one, "b").level == "stored"
    one.copies.exclude(pk=first.pk).update(state=Copy.State.DAMAGED)
    assert cli.copy_of(one, None) == first
    with pytest.raises(CommandError, match=r"no complete copy there\. Its copies: b \(damaged\)") as caught:
        cli.copy_of(one, "b")
    assert caught.value.returncode == cli.FAILED
    with pytest.raises(CommandError, match="no destination moon"):
        cli.copy_of(one, "moon")


def test_identities(tmp_path: Path, settings) -> None:
    (tmp_path / "key").write_text("AGE-SECRET-KEY-1X\n")
    found = cli.identity_from(str(tmp_path / "key"), encrypted=True)
    assert found is not None
    assert found.reveal() == "AGE-SECRET-KEY-1X\n"
    assert "AGE" not in f"{found!r}{found}"
    # Nobody can be asked here.
    assert cli.identity_from(None, encrypted=True) is None
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    for name, message in (("none", "No such file"), ("binary", "is no identity file")):
        with pytest.raises(CommandError, match=message):
            cli.identity_from(str(tmp_path / name), encrypted=True)


def test_the_error_of_an_operation_has_its_hint() -> None:
    error = cli.failed(OperationFailed("It is gone.", "Look there."))
    assert (str(error), error.returncode) == ("It is gone. Hint: Look there.", cli.FAILED)


def test_who_acted(monkeypatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert cli.actor() == "shell:anna"
    monkeypatch.delenv("SUDO_USER")
    assert cli.actor().startswith("shell:")
