"""Where SQLite databases are put: whole, protected, and nowhere else."""

import os
import stat
import subprocess
from io import BytesIO

import pytest

from backups.engines import _sqlite_replace
from backups.engines.base import NoScratch
from backups.witness import differences
from drcenter.errors import OperationFailed
from tests.backups.engines.sqlite_databases import database, engine_for, everything
from tests.backups.engines.taking import restore, take

__all__ = ["database"]


@pytest.mark.parametrize("cut", [0, 50, 4096, -1])
def test_a_cut_stream_changes_nothing(database, cut):
    before = everything(database)
    engine = engine_for(database)
    [(spec, data)] = take(engine).parts
    consume = engine.consumer(spec.name, spec.suffix)
    with pytest.raises(OperationFailed):
        consume(BytesIO(data[:cut]))
    assert everything(database) == before
    assert not list(database.parent.glob("*.drc-new"))


def test_the_copy_is_protected_and_goes(database, tmp_path, settings):
    settings.STATE_DIR = tmp_path / "state"
    with engine_for(database).snapshot() as snapshot:
        [part] = snapshot.parts()
        [copy] = (tmp_path / "state" / "tmp").glob("*/database")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        blocks = [len(block) for block in part.producers[0]()]
        assert sum(blocks) == copy.stat().st_size
        assert max(blocks) <= 1 << 20
    assert not list((tmp_path / "state" / "tmp").iterdir())


def test_scratch(database, tmp_path):
    engine = engine_for(database)
    workspace = tmp_path / "workspace"
    workspace.mkdir(mode=0o700)
    with pytest.raises(NoScratch, match="free"), engine.scratch(workspace, {"size": 1 << 60}):
        pass
    with engine.scratch(workspace, engine.inspect().facts) as place:
        taken = take(engine)
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert place.counts(["two words", "noprimary"]) == {"two words": 4, "noprimary": 4}
    assert not list(workspace.iterdir())


def test_a_missing_critical_table_is_told(database):
    with pytest.raises(OperationFailed, match="no such table: gone"):
        engine_for(database).counts(["gone"])


def test_prepare_without_overwrite_keeps_what_is_there(database):
    with pytest.raises(OperationFailed, match="exists already"):
        engine_for(database).prepare(overwrite=False)


@pytest.mark.parametrize("name", ["", "..", "a/b", "app data?#%20.sqlite"])
def test_beside_refuses_what_is_no_other_place(database, name):
    with pytest.raises(OperationFailed):
        engine_for(database).beside(name)


def test_a_path_that_is_a_link_stays_one(database, tmp_path):
    link = tmp_path / "link.sqlite"
    link.symlink_to(database)
    before = everything(database)
    engine = engine_for(link)
    taken = take(engine)
    database.write_bytes(b"")
    restore(engine, taken, overwrite=True)
    assert link.is_symlink()
    assert everything(database) == before


def test_a_link_that_is_put_in_the_place_of_the_new_file_gets_no_rights(database, tmp_path, monkeypatch):
    """The directory belongs to the application's user, who may swap files there while root restores."""
    engine, before = engine_for(database), everything(database)
    taken = take(engine)
    os.chmod(database, 0o666)
    subprocess.run(["setfacl", "-m", "u:12345:rw", database], check=True)
    if os.geteuid() == 0:
        os.chown(database, 1234, 2345)
    victim = tmp_path / "victim"
    victim.write_text("root's own")
    victim.chmod(0o600)
    state = victim.stat()
    check = _sqlite_replace._check

    def swapped(fresh, *more):
        check(fresh, *more)
        fresh.unlink()
        fresh.symlink_to(victim)

    monkeypatch.setattr(_sqlite_replace, "_check", swapped)
    with pytest.raises(OperationFailed, match="replaced by somebody else"):
        restore(engine, taken, overwrite=True)
    after = victim.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (state.st_uid, state.st_gid, state.st_mode)
    assert not os.listxattr(victim)
    assert everything(database) == before
    assert not database.is_symlink()


def test_no_program_is_made_of_a_database(database):
    engine = engine_for(database)
    taken = take(engine)
    os.chmod(database, 0o4755)
    restore(engine, taken, overwrite=True)
    assert stat.S_IMODE(database.stat().st_mode) == 0o755
