"""The proof: a difference is named, and what stands in the way is told from what is wrong with the set."""

import sqlite3
from contextlib import contextmanager

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
    assert one.level_reason == f"1 difference: {named}"
    assert told()[-1][0] == "failure"
    assert named in told()[-1][1]
    done = verified(one.copies.get(), "proven", key.identity)
    one.refresh_from_db()
    assert (done.state, one.level, one.capped, one.level_reason) == ("passed", "proven", False, "")


def test_no_proof_makes_up_for_what_the_dump_lacks(plan, key, monkeypatch) -> None:
    one = good(plan)
    finding = {"source": "database", "message": "The right TRIGGER is missing.", "hint": "", "caps": True}
    Set.objects.filter(pk=one.pk).update(capped=True, findings=[finding], level="stored")
    done = verified(one.copies.get(), "proven", key.identity)
    one.refresh_from_db()
    assert (done.state, one.level, one.capped) == ("undecided", "stored", True)
    assert one.level_reason == "database: The right TRIGGER is missing."
    assert one.copies.get().level == "proven"


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


def failing(monkeypatch, message: str) -> None:
    """Loading into any place ends with these words."""

    def consumer(self, part, suffix):
        def consume(stream):
            raise OperationFailed(message, "Make room.")

        return consume

    monkeypatch.setattr(sqlite_engine.Plugin, "consumer", consumer)


@pytest.mark.parametrize(
    "message",
    [
        "psql failed with exit code 3: ERROR:  could not extend file: No space left on device",
        "mariadb failed with exit code 1: ERROR 1114 (HY000) at line 7: The table 't' is full",
        "mariadb failed with exit code 1: ERROR 2013 (HY000) at line 7: Lost connection to server during query",
        "psql failed with exit code 2: server closed the connection unexpectedly",
        "tar was ended by signal SIGKILL: no message",
    ],
)
def test_what_this_machine_lacks_is_no_difference_of_the_set(plan, key, monkeypatch, message) -> None:
    with monkeypatch.context() as patch:
        failing(patch, message)
        one = taken(plan)
    assert (one.state, one.level, one.capped) == (Set.State.COMPLETE, "intact", False)
    assert message in one.level_reason
    assert Verification.objects.get().state == "undecided"
    assert told()[-1][0] == "warning"
    assert verified(one.copies.get(), "proven", key.identity).state == "passed"
    one.refresh_from_db()
    assert (one.level, one.level_reason) == ("proven", "")


def test_a_scratch_server_that_went_away_is_no_difference_either(plan, monkeypatch) -> None:
    def answer(self):
        raise OperationFailed("Nobody listens.")

    failing(monkeypatch, "ERROR at line 3")
    monkeypatch.setattr(sqlite_engine.Plugin, "answer", answer)
    one = taken(plan)
    assert (one.level, one.capped) == ("intact", False)
    assert "The scratch server is gone: Nobody listens. ERROR at line 3" in one.level_reason


def test_a_scratch_place_that_does_not_end_well_is_no_difference_either(plan, monkeypatch) -> None:
    original = sqlite_engine.Plugin.scratch

    @contextmanager
    def scratch(self, workspace, facts):
        with original(self, workspace, facts) as place:
            yield place
        raise OperationFailed("The server did not end within 30 s.")

    monkeypatch.setattr(sqlite_engine.Plugin, "scratch", scratch)
    one = taken(plan)
    assert (one.level, one.capped) == ("intact", False)
    assert "did not end within 30 s" in one.level_reason


def test_nothing_of_the_proof_stays_on_this_machine(plan, settings) -> None:
    good(plan)
    assert list((settings.STATE_DIR / "scratch").iterdir()) == []


def test_the_source_may_have_changed_since(plan, key) -> None:
    one = good(plan)
    with sqlite3.connect(plan.sources.get(name="database").options["path"]) as connection:
        connection.execute("DELETE FROM orders")
    connection.close()
    assert verified(one.copies.get(), "proven", key.identity).reached == "proven"
