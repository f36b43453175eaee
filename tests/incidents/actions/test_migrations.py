"""Migrations are taken back and run again: a real Laravel application, and a real Alembic."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from drcenter.errors import OperationFailed
from drcenter.management.demo.laravel import create
from incidents.actions import alembic_downgrade, laravel_rollback
from tests.incidents.actions.here import context, done


def tables(path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture(scope="module")
def laravel(tmp_path_factory):
    root = tmp_path_factory.mktemp("laravel") / "shop"
    create(root)
    return root


def test_laravel_goes_back_one_migration_and_comes_again(laravel):
    database = laravel / "database/database.sqlite"
    then = tables(database)
    action, here = laravel_rollback.Plugin({"steps": 1}), context(laravel)
    before = done(action, here)
    assert tables(database) < then
    # A second time after a crash takes back nothing more.
    action.execute(here, before)
    action.verify(here, before)
    action.undo(here, before)
    assert tables(database) == then


def test_more_than_ever_ran_is_refused(laravel):
    with pytest.raises(OperationFailed, match="cannot be taken back"):
        laravel_rollback.Plugin({"steps": 99}).look(context(laravel))


def test_both_tables_of_the_status_are_read():
    bars = "| Ran? | Migration | Batch |\n| Yes  | 2014_10_12_000000_users | 1     |\n| No   | 2015_x | |"
    dots = "  2014_10_12_000000_users ......... [1] Ran\n  2015_x ........ Pending"
    for printed in (bars, dots):
        assert [a or b for a, b in laravel_rollback.RAN.findall(printed)] == ["2014_10_12_000000_users"]


MIGRATION = """
revision, down_revision, branch_labels, depends_on = {name!r}, {down!r}, None, None
from alembic import op
def upgrade(): op.execute("CREATE TABLE t{name} (id INTEGER)")
def downgrade(): op.execute("DROP TABLE t{name}")
"""
ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine
with create_engine("sqlite:///app.db").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ALEMBIC = [sys.executable, "-m", "alembic"]


@pytest.fixture
def alembic(tmp_path):
    (tmp_path / "migrations/versions").mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "migrations/env.py").write_text(ENVIRONMENT)
    (tmp_path / "migrations/script.py.mako").write_text("")
    for name, down in (("a1", None), ("b2", "a1"), ("c3", "b2")):
        text = MIGRATION.format(name=name, down=down)
        (tmp_path / f"migrations/versions/{name}.py").write_text(text)
    subprocess.run([*ALEMBIC, "upgrade", "head"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "left"),
    [("-1", {"ta1", "tb2"}), ("-3", set())],
)
def test_alembic_goes_back_and_comes_again(alembic, target, left):
    action, here = alembic_downgrade.Plugin({"target": target, "command": ALEMBIC}), context(alembic)
    before = done(action, here)
    assert tables(alembic / "app.db") == left | {"alembic_version"}
    # A second time after a crash takes back nothing more, though the target was relative.
    action.execute(here, before)
    action.verify(here, before)
    action.undo(here, before)
    assert tables(alembic / "app.db") == {"ta1", "tb2", "tc3", "alembic_version"}


def test_further_back_than_the_beginning_is_refused(alembic):
    with pytest.raises(OperationFailed, match="cannot be taken back"):
        alembic_downgrade.Plugin({"target": "-4", "command": ALEMBIC}).look(context(alembic))
