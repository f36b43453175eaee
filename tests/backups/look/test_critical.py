"""Which tables are proposed as critical."""

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from backups.look.critical import MOST, NAMES, proposed
from backups.look.proposal import ProposedSource
from backups.models.plan import Tier


def test_by_their_names_with_schema_and_prefix() -> None:
    tables = [
        "cache",
        "sales.orders",
        "wp_users",
        "Customers",
        "orders_archive",
        "jobs",
        "user",
        "migrations",
    ]
    assert proposed(tables) == ["wp_users", "Customers", "sales.orders"]
    assert proposed([]) == []


@given(st.lists(st.sampled_from(NAMES) | st.text(max_size=20), max_size=60))
def test_never_more_than_fit_and_only_what_is_there(tables) -> None:
    found = proposed(tables)
    assert len(found) <= MOST
    assert set(found) <= set(tables)


def test_looking_at_a_database_proposes_them_and_keeps_what_was_named(tmp_path) -> None:
    path = tmp_path / "shop.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        for table in ("orders", "cache", "customers"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    source = ProposedSource("database", "sqlite", Tier.DATABASE, {"path": str(path)})
    source.inspect()
    assert source.critical_tables == ["customers", "orders"]
    named = ProposedSource(
        "database", "sqlite", Tier.DATABASE, {"path": str(path), "critical_tables": ["cache"]}
    )
    named.inspect()
    assert named.critical_tables == ["cache"]
