"""The proof: a difference is named, and what stands in the way is told from what is wrong with the set."""

import sqlite3

import pytest

from backups.engines import sqlite as sqlite_engine
from backups.engines.base import NoScratch
from backups.models import Set, Verification
from backups.witness import Content, Witness
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from tests.backups.taking import channel, good, quick, taken, told, verified

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


def test_a_difference_is_named_and_caps_the_set(plan, key, monkeypatch) -> None:
    original = sqlite_engine.Plugin.witness

    def witness(self):
        found = original(self)
        return Witness(found.objects, found.contents | {"orders": Content(99, "x")}, found.ignored)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_engine.Plugin, "witness", witness)
        one = taken(plan)
    named = "database: orders: 100 in the source, 99 after the restore"
    proof = Verification.objects.get()
    assert (proof.state, proof.reached, proof.differences) == ("damaged", "intact", [named])
    assert (one.state, one.level, one.capped) == (Set.State.COMPLETE, "stored", True)
    assert named in one.level_reason
    assert told()[-1][0] == "failure"
    assert named in told()[-1][1]
    done = verified(one.copies.get(), "proven", key.identity)
    one.refresh_from_db()
    assert (done.state, one.level, one.capped) == ("undecided", "stored", True)


def test_a_later_proof_that_differs_takes_the_level_away(plan, key, monkeypatch) -> None:
    one = good(plan)
    original = sqlite_engine.Plugin.witness

    def witness(self):
        found = original(self)
        return Witness({**found.objects, "table more": "x"}, found.contents, found.ignored)

    monkeypatch.setattr(sqlite_engine.Plugin, "witness", witness)
    done = verified(one.copies.get(), "proven", key.identity)
    one.refresh_from_db()
    assert done.differences == ["database: table more: not in the source"]
    assert (done.state, one.level, one.capped) == ("damaged", "stored", True)
    assert Job.objects.get(pk=done.job_id).state == State.FAILED


@pytest.mark.parametrize(
    "error",
    [
        NoScratch("No PostgreSQL 19 here."),
        OperationFailed("It did not start.", "Look."),
        OSError(28, "No space left on device"),
    ],
)
def test_no_scratch_place_leaves_it_intact_with_the_reason(plan, monkeypatch, error) -> None:
    def scratch(self, workspace, facts):
        raise error

    monkeypatch.setattr(sqlite_engine.Plugin, "scratch", scratch)
    one = taken(plan)
    assert (one.state, one.level, one.capped) == (Set.State.COMPLETE, "intact", False)
    assert (error.strerror if isinstance(error, OSError) else error.message) in one.level_reason
    assert Verification.objects.get().state == "undecided"
    assert told()[-1][0] == "warning"


def test_what_was_proven_stays_so_where_no_server_fits(plan, key, monkeypatch) -> None:
    one = good(plan)

    def scratch(self, workspace, facts):
        raise NoScratch("None here.")

    monkeypatch.setattr(sqlite_engine.Plugin, "scratch", scratch)
    assert verified(one.copies.get(), "proven", key.identity).state == "undecided"
    one.refresh_from_db()
    assert (one.level, one.level_reason) == ("proven", "")


def test_a_set_that_does_not_restore_is_a_difference(plan, monkeypatch) -> None:
    def consumer(self, part, suffix):
        def consume(stream):
            raise OperationFailed("ERROR 1064 at line 3")

        return consume

    monkeypatch.setattr(sqlite_engine.Plugin, "consumer", consumer)
    one = taken(plan)
    assert (one.level, one.capped) == ("stored", True)
    assert "ERROR 1064 at line 3" in one.level_reason


def test_nothing_of_the_proof_stays_on_this_machine(plan, settings) -> None:
    good(plan)
    assert list((settings.STATE_DIR / "scratch").iterdir()) == []


def test_the_source_may_have_changed_since(plan, key) -> None:
    one = good(plan)
    with sqlite3.connect(plan.sources.get(name="database").options["path"]) as connection:
        connection.execute("DELETE FROM orders")
    connection.close()
    assert verified(one.copies.get(), "proven", key.identity).reached == "proven"
