"""When a plan needs proof: every kind of change, and what clears it."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backups import made_with
from backups.made_with import Change, Shown, What

PLAN = {"tables": [], "encrypt": True, "increments": False, "store_once": False, "destinations": ["vault"]}


def made(plan=None, engine="mariadb", options=None, version="10.11.6", **more):
    source = made_with.source(engine, options or {"host": "db1"}, {"version": version, "size": 7})
    return made_with.made(PLAN | (plan or {}), {"db": source} | more)


def needed(now, *shown):
    return made_with.needs_proof(now, [Shown(float(number), one) for number, one in enumerate(shown)])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (made(), []),
        (made(options={"host": "db1", "socket": "", "tables": [], "hold": False}), []),
        (made(options={"host": "db2"}), [Change(What.OPTION, "db", "host", "db1", "db2")]),
        (made(version="11.4.2"), [Change(What.VERSION, "db", "version", "10.11.6", "11.4.2")]),
        (made(version=""), []),
        (made(engine="postgresql"), [Change(What.ENGINE, "db", "", "mariadb", "postgresql")]),
        (made(plan={"encrypt": False}), [Change(What.PLAN, "encrypt", "", "True", "False")]),
        (made(plan={"destinations": ["disk", "vault"]}), [Change(What.PLAN, "destinations", "", "vault", "disk, vault")]),
        (made(files=made_with.source("files", {}, {})), [Change(What.ADDED, "files")]),
        (made_with.made(PLAN, {}), [Change(What.REMOVED, "db")]),
    ],
)  # fmt: skip
def test_every_change_is_named(now, expected) -> None:
    assert needed(now, made()) == expected


def test_without_anything_shown_nothing_is_needed_again() -> None:
    assert needed(made()) == [] and needed(made(), {}) == [] and needed({}, made()) == []


def test_only_what_was_made_last_counts() -> None:
    old, new = made(options={"host": "db1"}), made(options={"host": "db2"})
    assert needed(new, old, new) == []
    assert needed(old, old, new) == [Change(What.OPTION, "db", "host", "db2", "db1")]
    assert needed(new, old, new, {}) == []


@given(some.lists(some.sampled_from(["db1", "db2", "db3"]), min_size=1, max_size=6))
def test_it_is_needed_exactly_while_now_differs_from_the_last_that_was_shown(hosts) -> None:
    shown = [made(options={"host": host}) for host in hosts]
    for host in ("db1", "db2", "db3"):
        assert bool(needed(made(options={"host": host}), *shown)) == (host != hosts[-1])
