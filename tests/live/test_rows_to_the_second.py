"""Rows as of a second between two sets: the log is replayed, and what was written after the set is there."""

import pytest

from backups.models import RowComparison
from backups.replay import bases
from backups.rows import compare, results
from backups.rows.source import copy_at, way_to
from drcenter.jobs.work import run_job
from tests.live.archived import expected
from tests.live.test_rewind_mariadb import quick, scene

__all__ = ["quick", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)


def ids(rows, kind: str) -> set[int]:
    found = (held.difference for held in rows.each(f"kind = '{kind}' AND role = ''"))
    return {int((one.then or one.now)[0]) for one in found}


def test_rows_that_no_set_ever_held_come_back(scene) -> None:
    moment = bases.newest_reachable(bases.of(scene.source))
    assert moment is not None
    _known, plan, copy = way_to(scene.source, moment)
    least, _most = scene.writer.between(plan.surely, plan.atmost)
    gone = expected(least)[0][-2:]
    with scene.server.connect(scene.name) as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM orders WHERE id IN ({gone[0]}, {gone[1]})")
        connection.commit()
    for exact, has in ((True, True), (False, False)):
        wanted = compare.request(
            copy if exact else copy_at(scene.source, None), scene.source, "orders", requested_by="otto",
            identity=scene.identity, wanted_at=moment, exact=exact,
        )  # fmt: skip
        run_job(wanted.job_id)
        found = RowComparison.objects.get(pk=wanted.pk)
        assert found.state == "done", (found.message, found.hint)
        with results.changed(compare.place_of(found)) as rows:
            assert (set(gone) <= ids(rows, "deleted")) == has
            if exact:
                assert ids(rows, "deleted") == set(gone)
