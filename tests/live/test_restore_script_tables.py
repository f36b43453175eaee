"""restore.sh of a set of some tables: beside yes, in the place of a whole database never."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from backups.guides import guide
from backups.models import Level, Plan, Set
from backups.storage.layout import Manifest
from backups.takes import take
from drcenter.jobs.work import run_job
from tests.backups.taking import quick

__all__ = ["quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]


def test_it_is_put_beside_and_never_over_the_whole(plan: Plan, database, destination, tmp_path: Path) -> None:
    whole = Path(database.options["path"])
    with closing(sqlite3.connect(whole)) as connection, connection:
        connection.execute("CREATE TABLE payments (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO payments VALUES (7)")
    Plan.objects.update(encrypt=False, level=Level.INTACT)
    plan.refresh_from_db()
    wanted = take.request(plan, requested_by="otto", tables=["payments"])
    run_job(wanted.job_id)
    folder = Path(destination.options["path"]) / Set.objects.get(pk=wanted.pk).prefix

    def script(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "restore.sh", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )

    assert "of its databases this set holds only 1 of 2 tables" in script("list").stdout
    before = whole.read_bytes()
    refused = script("database", "--target", str(whole), "--yes")
    assert refused.returncode == 1, refused.stdout
    assert "would be gone" in refused.stderr and "--target database=" in refused.stderr
    assert whole.read_bytes() == before
    done = script("database", "--target", str(tmp_path / "beside.sqlite3"), "--yes")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "beside.sqlite3")) as connection:
        assert connection.execute("SELECT * FROM payments").fetchall() == [(7,)]
    text = guide.text(Manifest.from_bytes((folder / "manifest.json").read_bytes()))
    assert "This set is only a part" in text and "1 von 2 Tabellen" in text
