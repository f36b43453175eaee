"""A worker or a connection that dies while rows are put back: all or nothing, and the row says which of both."""

import signal
from pathlib import Path

import pymysql
import pytest
from django.conf import settings

from backups.engines._postgresql_rows import PostgreSQLSession
from backups.models import RowChange
from backups.recovery import approval, begin
from backups.rows import apply, changing, outcome
from drcenter.jobs.models import Job
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from tests.backups.approving import requester, second
from tests.backups.taking import quick
from tests.live.dying_rows import run_and_die
from tests.live.rows_ground import each_kind, ground, mariadb_server, postgresql_database, postgresql_server

__all__ = ["ground", "mariadb_server", "postgresql_database", "postgresql_server", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def begun(ground):
    """A change that was approved; its job waits."""
    ground.fill()
    ground.take()
    ground.do(
        "DELETE FROM orders WHERE id IN (3, 7)", "UPDATE orders SET note = 'x' WHERE id = 20",
        "INSERT INTO orders VALUES (99, 1, 5, 'of today')",
    )  # fmt: skip
    found = ground.compared("orders")
    ground.choose(found)
    change = changing.plan(found, requested_by="otto")
    row = apply.request(change, typed_host=apply.to_type(change), requested_by="otto", user=requester())
    approval.approve(row, user=second(), seen=row.digest)
    begin.begin(row, actor="otto")
    return RowChange.objects.get(pk=change.pk)


def now(change: RowChange) -> RowChange:
    return RowChange.objects.select_related("recovery").get(pk=change.pk)


@each_kind("sqlite")
@pytest.mark.parametrize(
    ("point", "state", "recovery"),
    [
        ("begun", "failed", "failed"), ("written", "failed", "failed"), ("committing", "failed", "failed"),
        ("committed", "applied", "succeeded"),
    ],
)  # fmt: skip
def test_a_worker_that_is_killed(ground, begun, point, state, recovery) -> None:
    before = ground.everything()
    job = begun.recovery.job
    assert run_and_die(job.pk, point, Path(settings.STATE_DIR)) == -signal.SIGKILL
    assert lose(Job.objects.get(pk=job.pk))
    after = now(begun)
    assert (after.state, after.recovery.state) == (state, recovery), after.message
    assert (ground.everything() == before) == (state == "failed")
    if state == "applied":
        assert "production was asked: it was applied" in after.message
        assert ground.undone(after).state == "applied"
        assert ground.everything() == before
    else:
        assert "nothing was applied" in after.message


@each_kind("mariadb")
def test_the_answer_to_commit_is_lost_after_it_was_done(ground, begun, monkeypatch) -> None:
    before, commit = ground.everything(), pymysql.Connection.commit

    def lost(self):
        commit(self)
        raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")

    with monkeypatch.context() as patch:
        patch.setattr(pymysql.Connection, "commit", lost)
        run_job(begun.recovery.job.pk)
    after = now(begun)
    assert (after.state, after.recovery.state) == ("applied", "succeeded")
    assert "production was asked: it was applied" in after.message
    assert ground.everything() != before


@each_kind("postgresql")
def test_the_connection_is_lost_before_commit(ground, begun, monkeypatch) -> None:
    before, committing = ground.everything(), apply._committing

    def cut(change):
        committing(change)
        ground.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'drcenter'"
            " AND datname = current_database() AND state = 'idle in transaction'"
        )

    with monkeypatch.context() as patch:
        patch.setattr(apply, "_committing", cut)
        run_job(begun.recovery.job.pk)
    after = now(begun)
    assert (after.state, after.recovery.state) == ("failed", "failed")
    assert "nothing was applied" in after.message
    assert ground.everything() == before


@each_kind("postgresql")
def test_production_that_is_away_leaves_the_outcome_unknown_until_asked_again(
    ground, begun, monkeypatch
) -> None:
    from drcenter.errors import OperationFailed

    def away(change):
        raise OperationFailed("The server is away.")

    original = PostgreSQLSession.transaction

    def lost(self, *, quiet=False):
        from contextlib import contextmanager

        from backups.rows.session import OutcomeUnknown

        @contextmanager
        def manager():
            with original(self, quiet=quiet):
                yield
            raise OutcomeUnknown("The connection was lost.")

        return manager()

    with monkeypatch.context() as patch:
        patch.setattr(PostgreSQLSession, "transaction", lost)
        patch.setattr(outcome, "look", away)
        run_job(begun.recovery.job.pk)
    unknown = now(begun)
    assert (unknown.state, unknown.recovery.state) == ("unknown", "failed")
    assert f"--look {begun.pk}" in unknown.hint
    outcome.settle(unknown, OperationFailed("It was asked again."))
    assert (now(begun).state, now(begun).recovery.state) == ("applied", "succeeded")


@each_kind("sqlite")
def test_statements_that_were_tampered_with_are_not_run(ground, begun) -> None:
    from backups.rows import results

    before = ground.everything()
    with results.changed(changing.place_of(begun)) as rows:
        rows._connection.execute("UPDATE rows SET was = replace(was, '3.5', '9999')")
    run_job(begun.recovery.job.pk)
    after = now(begun)
    assert (after.state, ground.everything()) == ("failed", before)
    assert "not those that were shown" in after.message
