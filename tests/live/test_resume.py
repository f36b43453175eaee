"""Workers killed with SIGKILL over a real Laravel application and a real MariaDB server: resumed, undone."""

import json
import os
from typing import Any

import pytest

from backups.models import Recovery, Set
from backups.recovery import begin, restore
from drcenter.jobs.models import Job
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.approving import carried_out, requester
from tests.backups.killed import kill_worker
from tests.backups.typed import environment
from tests.live.laravel import answer, served
from tests.live.mariadb_fixtures import Database, database, mariadb_server
from tests.live.test_restore_databases import TABLE, protect, three
from tests.live.test_restore_laravel import Shop, on_sqlite, place, protected, quick

__all__ = ["database", "environment", "mariadb_server", "on_sqlite", "place", "protect", "quick"]
pytestmark = pytest.mark.django_db(transaction=True)


def killed(taken: Set, key: Any, step: str, moment: str, environment: dict[str, str]) -> Recovery:
    hosts = {source.build().host for source in taken.system.sources.all()}
    row = restore.request_production(
        taken.copies.get(), sources=[], requested_by="otto", user=requester(),
        typed_host=",".join(f"{taken.system.slug}@{host}" for host in hosts),
    )  # fmt: skip
    row = carried_out(row, Secret(key.identity))
    kill_worker(row.job.pk, step, moment, {**os.environ, **environment})
    assert lose(Job.objects.get(pk=row.job.pk))
    row.refresh_from_db()
    assert row.state == Recovery.State.LOST
    return row


def go_on(row: Recovery, key: Any, act: str) -> Recovery:
    begun = begin.begin(row, actor="otto", identity=Secret(key.identity), act=act)
    run_job(begun.job.pk)
    return Recovery.objects.get(pk=row.pk)


class TestLaravel:
    @pytest.mark.parametrize("step", ["stop:0", "overwrite:application", "clean_up:0"])
    def test_resumed_it_answers_again_with_everything(
        self, on_sqlite: Shop, key, environment, step: str
    ) -> None:
        rows, tree = on_sqlite.rows(), on_sqlite.tree()
        taken = protected(on_sqlite)
        on_sqlite.damage()
        moment = "half" if step.startswith("overwrite") else "begin"
        row = killed(taken, key, step, moment, environment)
        row = go_on(row, key, Recovery.Act.RESUME)
        assert (row.state, row.differences) == (Recovery.State.SUCCEEDED, []), row.message
        assert (on_sqlite.rows(), on_sqlite.tree()) == (rows, tree)
        with served(on_sqlite.root) as address:
            status, body = answer(address)
            assert (status, json.loads(body)["calls"]) == (200, 2500)

    def test_undone_it_is_as_it_was_before(self, on_sqlite: Shop, key, environment) -> None:
        taken = protected(on_sqlite)
        on_sqlite.query("DELETE FROM calls WHERE id > 100")
        (on_sqlite.root / "storage" / "app" / "note.txt").write_text("of today")
        before = on_sqlite.rows(), on_sqlite.tree()
        row = killed(taken, key, "clean_up:0", "begin", environment)
        assert (on_sqlite.rows(), on_sqlite.tree()) != before
        row = go_on(row, key, Recovery.Act.UNDO)
        assert row.state == Recovery.State.ROLLED_BACK, row.message
        assert (on_sqlite.rows(), on_sqlite.tree()) == before
        assert not (on_sqlite.root / "storage" / "framework" / "down").exists()


@pytest.mark.parametrize(
    ("step", "moment"),
    [("safety", "begin"), ("overwrite:db", "half")],
)
@pytest.mark.parametrize("act", [Recovery.Act.RESUME, Recovery.Act.UNDO])
def test_mariadb(database: Database, protect, key, environment, step: str, moment: str, act: str) -> None:
    database.execute(TABLE)
    for number, note in three():
        database.execute("INSERT INTO orders VALUES (%s, %s)", number, note)
    taken = protect("mariadb", database.engine().options)
    database.execute("UPDATE orders SET note = 'wrong'")
    database.execute("CREATE TABLE stranger (id INT PRIMARY KEY)")
    row = killed(taken, key, step, moment, environment)
    row = go_on(row, key, act)
    done = Recovery.State.SUCCEEDED if act == Recovery.Act.RESUME else Recovery.State.ROLLED_BACK
    assert (row.state, row.differences) == (done, []), row.message
    notes = [note for _number, note in three()] if act == Recovery.Act.RESUME else ["wrong"] * 3
    assert [note for _number, note in database.execute("SELECT * FROM orders ORDER BY id")] == notes
