"""Deleted and changed rows: found exactly, put back in one transaction, undone, and nothing else is touched."""

import pytest

from backups.models import RowChange
from tests.backups.taking import quick
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)


def damage(ground) -> None:
    ground.do(
        "DELETE FROM orders WHERE id IN (3, 7, 11)",
        "UPDATE orders SET total = 0, note = NULL WHERE id IN (20, 21)",
        "INSERT INTO orders VALUES (99, 1, 5, 'of today')",
    )


def bare(counts):
    return {name.removeprefix("public."): verbs for name, verbs in counts.items()}


@each_kind()
def test_what_differs_is_found_put_back_and_undone(ground) -> None:
    ground.fill()
    before = ground.everything()
    ground.take()
    damage(ground)
    damaged = ground.everything()
    found = ground.compared("orders")
    assert {name: found.counts[name] for name in ("deleted", "changed", "added", "parents", "children")} == {
        "deleted": 3, "changed": 2, "added": 1, "parents": 0, "children": 3,
    }  # fmt: skip
    changed = [held.difference for held in ground.held(found) if held.difference.kind == "changed"]
    assert [one.changed for one in changed] == [[2, 3], [2, 3]]
    done = ground.put_back(found, kinds=("deleted", "changed"), children=True)
    assert (done.state, done.message, done.conflicts) == (RowChange.State.APPLIED, "", [])
    after = ground.everything()
    assert {**after, "orders": [row for row in after["orders"] if row[0] != 99]} == before
    undone = ground.undone(done)
    assert undone.state == RowChange.State.APPLIED, undone.message
    assert ground.everything() == damaged
    again = ground.undone(undone)
    assert (again.state, ground.everything()) == (RowChange.State.APPLIED, after)


@each_kind()
def test_rows_that_are_equal_cost_no_result(ground) -> None:
    ground.fill()
    ground.take()
    found = ground.compared("orders")
    assert found.counts["deleted"] + found.counts["changed"] + found.counts["added"] == 0


@each_kind()
def test_added_rows_are_only_taken_away_when_chosen(ground) -> None:
    ground.fill()
    before = ground.everything()
    ground.take()
    damage(ground)
    done = ground.put_back(ground.compared("orders"), children=True)
    assert done.state == RowChange.State.APPLIED, done.message
    assert ground.everything() == before


@each_kind()
def test_a_filter_takes_some_and_no_sql(ground) -> None:
    ground.fill()
    ground.take()
    damage(ground)
    found = ground.compared("orders")
    assert ground.choose(found, "id>5", kinds=("deleted",)) == 2
    assert ground.choose(found, "note~'s 3%") == 1
    assert ground.choose(found, "note=x' OR 1=1; DROP TABLE rows; --") == 0
    assert ground.choose(found, "note=NULL", kinds=("changed",)) == 2
    done = ground.put_back(found, "id=7")
    assert bare(done.counts) == {"orders": {"INSERT": 1}}
    assert [row[0] for row in ground.ask("SELECT id FROM orders WHERE id IN (3, 7, 11)")] == [7]


@each_kind()
def test_a_table_without_any_key_is_compared_by_whole_rows(ground) -> None:
    ground.fill()
    before = ground.everything()
    ground.take()
    where = {"mariadb": "page = 'a' LIMIT 2", "sqlite": "rowid < 3"}
    ground.do(
        "DELETE FROM visits WHERE "
        + where.get(ground.kind, "ctid IN (SELECT ctid FROM visits WHERE page = 'a' LIMIT 2)"),
        "INSERT INTO visits VALUES ('c', 3), ('c', 3)",
    )
    damaged = ground.everything()
    found = ground.compared("visits")
    assert (found.counts["deleted"], found.counts["changed"], found.counts["added"]) == (2, 0, 2)
    assert "no primary key" in " ".join(found.notes)
    done = ground.put_back(found)
    assert (done.state, ground.everything()) == (RowChange.State.APPLIED, before)
    assert ground.undone(done).state == RowChange.State.APPLIED
    assert ground.everything() == damaged


@each_kind()
def test_parents_that_are_missing_come_along(ground) -> None:
    ground.fill()
    before = ground.everything()
    ground.take()
    ground.do(
        "DELETE FROM items", "DELETE FROM orders WHERE customer_id = 2", "DELETE FROM customers WHERE id = 2"
    )
    found = ground.compared("items")
    assert (found.counts["deleted"], found.counts["parents"]) == (40, 9)
    done = ground.put_back(found, "id<6")
    assert done.state == RowChange.State.APPLIED, done.message
    assert bare(done.counts) == {"customers": {"INSERT": 1}, "orders": {"INSERT": 1}, "items": {"INSERT": 5}}
    done = ground.put_back(ground.compared("items"))
    assert (done.state, ground.everything()) == (RowChange.State.APPLIED, before)


@each_kind()
def test_without_its_parent_a_row_is_refused_and_said(ground) -> None:
    ground.fill()
    ground.take()
    ground.do("DELETE FROM items WHERE id = 1", "DELETE FROM orders WHERE id = 1")
    damaged = ground.everything()
    refused = ground.put_back(ground.compared("items"), parents=False)
    assert refused.state == RowChange.State.CONFLICTS
    assert "refers to is missing" in refused.message
    assert ground.everything() == damaged


@each_kind()
def test_later_changes_of_production_are_never_overwritten(ground) -> None:
    ground.fill()
    ground.take()
    damage(ground)
    found = ground.compared("orders")
    ground.do(
        "UPDATE orders SET note = 'of now' WHERE id = 20",
        "INSERT INTO orders VALUES (3, 1, 1, 'somebody was faster')",
        "UPDATE orders SET total = 6 WHERE id = 99",
    )
    now = ground.everything()
    refused = ground.put_back(found)
    assert (refused.state, ground.everything()) == (RowChange.State.CONFLICTS, now)
    assert sorted(one.removeprefix("public.") for one in refused.conflicts) == [
        "orders id=20: it was changed since it was shown", "orders id=3: there is a row with this key by now",
        "orders id=99: it was changed since it was shown",
    ]  # fmt: skip
    done = ground.put_back(found, skip_conflicts=True)
    assert (done.state, done.message) == (RowChange.State.APPLIED, "3 rows were left out.")
    assert ground.ask("SELECT note FROM orders WHERE id = 20") == [("of now",)]
    assert ground.ask("SELECT note FROM orders WHERE id = 3") == [("somebody was faster",)]
    assert len(ground.ask("SELECT id FROM orders WHERE id IN (7, 11)")) == 2
    assert ground.undone(done).state == RowChange.State.APPLIED
    assert ground.everything() == now


@each_kind()
def test_an_added_row_that_others_refer_to_stays(ground) -> None:
    ground.fill()
    ground.take()
    ground.do("INSERT INTO orders VALUES (99, 1, 5, 'of today')", "INSERT INTO items VALUES (99, 99, 'x')")
    now = ground.everything()
    refused = ground.put_back(ground.compared("orders"))
    assert (refused.state, ground.everything()) == (RowChange.State.CONFLICTS, now)
    assert [one.removeprefix("public.") for one in refused.conflicts] == ["orders id=99: 1 row refers to it"]


@each_kind()
def test_columns_that_changed_since_are_said_and_left_out(ground) -> None:
    ground.fill()
    ground.take()
    drop = "ALTER TABLE orders DROP COLUMN note"
    ground.do(
        "DELETE FROM items WHERE order_id = 3", "DELETE FROM orders WHERE id = 3",
        "ALTER TABLE orders ADD COLUMN channel VARCHAR(10) DEFAULT 'web'", drop,
        "ALTER TABLE orders RENAME COLUMN total TO amount",
    )  # fmt: skip
    found = ground.compared("orders", renamed={"total": "amount"})
    assert (found.counts["deleted"], found.counts["changed"]) == (1, 0)
    assert "note" in found.notes[0]
    assert "channel" in found.notes[1]
    assert ground.put_back(found).state == RowChange.State.APPLIED
    assert [str(one) for one in ground.ask("SELECT amount, channel FROM orders WHERE id = 3")[0]] == [
        "3.5" if ground.kind == "sqlite" else "3.50",
        "web",
    ]


@each_kind()
def test_a_table_that_was_renamed_since(ground) -> None:
    ground.fill()
    ground.take()
    ground.do("DELETE FROM visits WHERE page = 'b'", "ALTER TABLE visits RENAME TO hits")
    failed = ground.compare("visits")
    assert failed.state == "failed"
    assert "visits" in failed.message
    assert "--counterpart" in failed.hint
    found = ground.compared("visits", counterpart="hits")
    assert ground.put_back(found).state == RowChange.State.APPLIED
    assert len(ground.ask("SELECT * FROM hits")) == 5
