"""Sets of some tables alone: by a plan or by one run, honest about what they are, and restored between the others."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone, translation

from backups import standing, status
from backups.keep import keeping
from backups.models import Level, Plan, Recovery, Set
from backups.recovery import restore
from backups.shell import cli
from backups.storage import layout
from backups.storage.readback import ReadableCopy
from backups.takes import take
from drcenter.errors import OperationFailed
from drcenter.jobs.work import run_job
from tests.backups.overwriting import failing
from tests.backups.scene import Scene, scene

__all__ = ["scene"]
pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = "only 1 of 3 tables of database: orders"


@pytest.fixture
def shop(scene: Scene) -> Scene:
    with closing(sqlite3.connect(scene.database_path)) as connection, connection:
        connection.executescript(
            "CREATE TABLE payments (id INTEGER PRIMARY KEY, amount REAL); INSERT INTO payments VALUES (1, 9.5);"
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customers VALUES (1, 'Bo');"
        )
    Plan.objects.update(level=Level.PROVEN)
    scene.plan.refresh_from_db()
    return scene


def taken(plan: Plan, **fields) -> Set:
    wanted = take.request(plan, requested_by="otto", **fields)
    run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.COMPLETE, one.message
    return one


def ask(scene: Scene, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(scene.database_path)) as connection, connection:
        return connection.execute(statement).fetchall()


def over(scene: Scene, one: Set, **changes) -> Recovery:
    scene.copy = one.copies.get()
    return scene.over(**changes)


def test_a_run_of_some_tables_says_so_everywhere(shop: Scene, capsys) -> None:
    one = taken(shop.plan, tables=["orders"])
    assert (one.level, one.level_reason, one.capped) == (Level.PROVEN, "", False)
    assert one.partial == f"{ORDERS}; without uploads"
    assert [part.source_name for part in one.parts.all()] == ["database"]
    stored = ReadableCopy(one.copies.get().destination.build(), one.prefix)
    manifest = layout.Manifest.from_bytes(stored.content(layout.MANIFEST))
    # In the clear stands how much, and no name.
    assert manifest.partial == "1 of 3 tables"
    assert b"orders" not in manifest.to_bytes()
    assert b"orders" not in stored.content(layout.LOG)
    call_command("backup", "list", "shop")
    assert ORDERS in capsys.readouterr().out
    call_command("backup", "list", "shop", "--json")
    assert json.loads(capsys.readouterr().out)[0]["partial"].startswith(ORDERS)


def test_it_is_told_in_the_language_of_the_reader() -> None:
    with translation.override("de"):
        told = Set(partial=f"{ORDERS}; without uploads").partial_shown
        assert told == "nur 1 von 3 Tabellen von database: orders; ohne uploads"
        assert Set(partial="1 of 3 tables").partial_shown == "1 von 3 Tabellen"
        assert Set().partial_shown == ""


def test_it_says_nothing_of_how_the_plan_stands(shop: Scene) -> None:
    whole = taken(shop.plan)
    apart = taken(shop.plan, tables=["orders"])
    assert apart.apart and not whole.apart
    now = timezone.now()
    assert shop.plan.newest_good() == whole
    assert status.newest_settled(shop.plan) == whole
    assert standing.of_plan(shop.plan, now).newest == whole
    assert cli.newest_of(shop.system) == whole
    # Nor does one that fails.
    Set.objects.filter(pk=apart.pk).update(state=Set.State.FAILED)
    assert status.describe(shop.plan, now)["ok"]
    assert not standing.of_plan(shop.plan, now).failed
    # Nor is it kept in place of a whole one.
    Set.objects.filter(pk=apart.pk).update(state=Set.State.COMPLETE)
    lacking = {item.id: item.lacking for item in keeping.items_of(shop.plan)}
    assert (lacking[whole.pk], lacking[apart.pk]) == (False, True)
    # And its size is no measure.
    assert not [one for one in taken(shop.plan).findings if one["source"] == "set"]


def test_a_plan_of_some_tables_stands_for_itself(shop: Scene) -> None:
    critical = Plan.objects.create(
        system=shop.system, name="critical", tables=["orders", "payments"], cron="0 */6 * * *"
    )
    critical.sources.set(shop.plan.sources.all())
    critical.destinations.set(shop.plan.destinations.all())
    whole = taken(shop.plan)
    one = taken(critical, planned_at=timezone.now() - timedelta(minutes=1))
    assert one.partial == "only 2 of 3 tables of database: orders, payments; without uploads"
    assert (one.level, one.apart) == (Level.PROVEN, False)
    assert critical.newest_good() == one and shop.plan.newest_good() == whole
    assert status.describe(critical, timezone.now())["ok"]
    # For a restore that names no set it never counts, however new it is.
    assert cli.newest_of(shop.system) == whole


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (["ordrs"], "No source of the plan has a table ordrs.", "Did you mean: orders?"),
        (["orders", "Custommers"], "has a table Custommers", "Did you mean: customers?"),
        (["zzz"], "has a table zzz", "There are: customers, orders, payments."),
    ],
)
def test_an_unknown_table_is_refused_before_anything_runs(shop: Scene, names, message, hint) -> None:
    before = Set.objects.count()
    with pytest.raises(OperationFailed) as caught:
        take.request(shop.plan, requested_by="otto", tables=names)
    assert message in caught.value.message and hint in caught.value.hint
    with pytest.raises(CommandError) as told:
        call_command("backup", "run", "shop", "--tables", ",".join(names))
    assert (told.value.returncode, hint in str(told.value)) == (1, True)
    assert Set.objects.count() == before


def test_without_any_database_it_is_refused(shop: Scene) -> None:
    shop.plan.sources.set([shop.uploads])
    with pytest.raises(OperationFailed, match="None of the plan's sources is a database"):
        take.request(shop.plan, requested_by="otto", tables=["orders"])


def test_a_table_that_went_since_the_plan_was_made_fails_the_run(shop: Scene) -> None:
    Plan.objects.update(tables=["orders", "payments"])
    shop.plan.refresh_from_db()
    ask(shop, "DROP TABLE payments")
    wanted = take.request(shop.plan, requested_by="schedule")
    run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.FAILED
    assert "No source of the plan has a table payments." in one.message


def test_over_production_the_other_tables_stay(shop: Scene) -> None:
    one = taken(shop.plan, tables=["orders"])
    rows = shop.rows()
    told = restore.describe_production(one.copies.get(), [])
    assert any(f"The set holds {ORDERS}" in line and "the others stay" in line for line in told)
    ask(shop, "DELETE FROM orders")
    ask(shop, "UPDATE payments SET amount = 10")
    recovery = over(shop, one)
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert shop.rows() == rows
    assert ask(shop, "SELECT amount FROM payments") == [(10.0,)]
    assert ask(shop, "SELECT name FROM customers") == [("Bo",)]
    assert recovery.counts == {"database": {"orders": 100}}
    # What was saved before is as narrow.
    assert [part.source_name for part in recovery.safety_set.parts.all()] == ["database"]


def test_a_failure_puts_these_tables_back(shop: Scene, monkeypatch) -> None:
    one = taken(shop.plan, tables=["orders", "payments"])
    ask(shop, "DELETE FROM orders WHERE id > 3")
    ask(shop, "DROP TABLE payments")
    ask(shop, "INSERT INTO customers VALUES (2, 'Al')")
    before = shop.rows()
    failing(monkeypatch, "counts")
    recovery = over(shop, one)
    assert recovery.state == Recovery.State.ROLLED_BACK, recovery.message
    assert shop.rows() == before
    assert len(ask(shop, "SELECT * FROM customers")) == 2


def test_where_none_of_the_tables_is_left(shop: Scene) -> None:
    one = taken(shop.plan, tables=["payments"])
    ask(shop, "DROP TABLE payments")
    recovery = over(shop, one)
    assert recovery.state == Recovery.State.SUCCEEDED, recovery.message
    assert ask(shop, "SELECT * FROM payments") == [(1, 9.5)]
    assert len(shop.rows()) == 100 and recovery.safety_set is None


def test_a_whole_set_is_restored_whole_though_the_source_was_narrowed_since(shop: Scene) -> None:
    whole = taken(shop.plan)
    shop.database.options["tables"] = ["payments"]
    shop.database.save()
    ask(shop, "DELETE FROM orders")
    recovery = over(shop, whole)
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    assert len(shop.rows()) == 100


def test_what_a_source_itself_leaves_out_is_told(shop: Scene) -> None:
    shop.database.options["tables"] = ["payments"]
    shop.database.save()
    assert taken(shop.plan).partial == "only 1 of 3 tables of database: payments"


def test_beside(shop: Scene, tmp_path) -> None:
    one = taken(shop.plan, tables=["payments"])
    shop.copy = one.copies.get()
    recovery = shop.beside(database=str(tmp_path / "beside.sqlite3"))
    assert (recovery.state, recovery.differences) == (Recovery.State.SUCCEEDED, []), recovery.message
    with closing(sqlite3.connect(tmp_path / "beside.sqlite3")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("payments",)]


def test_from_the_shell(shop: Scene, capsys) -> None:
    call_command("backup", "run", "shop", "--tables", "orders, payments", "--tables", "orders", "--here")
    assert "only 2 of 3 tables of database: orders, payments" in capsys.readouterr().out
    for wrong in ("", "orders,,x", ","):
        with pytest.raises(CommandError):
            call_command("backup", "run", "shop", "--tables", wrong)
