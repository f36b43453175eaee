"""What the engine for files refuses, and what it finds by looking."""

from pathlib import Path

import pytest

from backups.engines.base import NoScratch
from backups.engines.files import Options
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.engines.taking import restore, take
from tests.backups.engines.trees import ROOT, described, engine_for, site

__all__ = ["site"]


def test_only_takes_names_of_the_directory_itself(site):
    with pytest.raises(OperationFailed, match="only:"):
        engine_for(site, only=["sub/data"])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "site"])
def test_beside_refuses_what_is_no_other_place(site, name):
    with pytest.raises(OperationFailed):
        engine_for(site).beside(name)


def test_prepare_without_overwrite_refuses_a_full_directory(site):
    with pytest.raises(OperationFailed, match="not empty") as caught:
        engine_for(site).prepare(overwrite=False)
    assert caught.value.permanent


def test_a_missing_directory_is_told(tmp_path):
    engine = engine_for(tmp_path / "none")
    with pytest.raises(OperationFailed, match="No such file") as caught:
        engine.inspect()
    assert caught.value.permanent
    with pytest.raises(OperationFailed), engine.snapshot() as snapshot:
        list(snapshot.parts())


def test_finish_removes_nothing_for_the_witness_of_something_else(site):
    from backups.witness import Witness

    before = described(site)
    with pytest.raises(OperationFailed, match="nothing was removed"):
        engine_for(site).finish(Witness())
    assert described(site) == before


def test_inspect_counts(site):
    inspection = engine_for(site).inspect()
    assert inspection.facts["root"] == ROOT
    assert 3 << 20 < inspection.size < 5 << 20
    assert inspection.facts["entries"] == len(described(site)) + 1
    assert not inspection.capped
    assert engine_for(site).counts([".", "sub"]) == {".": len(described(site)), "sub": 1}
    with pytest.raises(OperationFailed):
        engine_for(site).counts(["../.."])


def test_scratch_needs_room(site, tmp_path):
    with pytest.raises(NoScratch, match="free"), engine_for(site).scratch(tmp_path, {"size": 1 << 60}):
        pass
    with engine_for(site).scratch(tmp_path, engine_for(site).inspect().facts) as place:
        taken = take(engine_for(site))
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert Path(place.path).parent == tmp_path
    assert not Path(place.path).exists()


@pytest.mark.parametrize("path", ["relative", "/", "//", "/.."])
def test_the_form_refuses_paths(path):
    with pytest.raises(OperationFailed, match="path"):
        validated(Options, {"path": path})


@pytest.mark.parametrize("name", ["exclude", "keep"])
def test_the_form_refuses_to_leave_the_directory(name):
    with pytest.raises(OperationFailed, match=name):
        validated(Options, {"path": "/srv", name: ["a/../../b"]})
