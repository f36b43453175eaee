"""The engine for information: lists of this very machine, and what happens where a tool is missing or fails."""

import json
import platform

import pytest

from backups.engines import information
from backups.engines._information_lists import Listing, crontabs
from backups.engines.information import Options, Plugin
from backups.witness import differences
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import Command
from tests.backups.engines.taking import restore, take

SLOW = ["npm-global", "composer-global"]


def engine_for(tmp_path, **options) -> Plugin:
    given = {"directory": str(tmp_path / "lists"), "leave_out": SLOW, **options}
    return Plugin(validated(Options, given))


def test_the_machine_is_told_and_comes_back(tmp_path):
    engine = engine_for(tmp_path, leave_out=[])
    taken = take(engine)
    texts = {f"{spec.name}.{spec.suffix}": data.decode() for spec, data in taken.parts}
    assert "dpkg\t" in texts["packages.txt"] and platform.release() in texts["kernel.txt"]
    assert "root:x:0:0" in texts["users.txt"] and "Core" in texts["php-modules.txt"]
    for text in [text for name, text in texts.items() if name.endswith(".json")]:
        json.loads(text)
    assert json.loads(texts["overview.json"])["lists"]["packages"] == "taken"
    place = engine.beside("beside")
    restore(place, taken)
    assert (tmp_path / "beside" / "packages.txt").read_text() == texts["packages.txt"]
    assert (tmp_path / "beside" / "packages.txt").stat().st_mode & 0o077 == 0
    assert differences(taken.witness, place.witness()) == []
    place.drop()
    assert not (tmp_path / "beside").exists()


def test_a_text_that_comes_back_changed_is_seen(tmp_path):
    engine = engine_for(tmp_path)
    taken = take(engine)
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", {}) as place:
        spec, data = taken.parts[0]
        taken.parts[0] = (spec, data + b"more")
        restore(place, taken)
        [difference] = differences(taken.witness, place.witness())
    assert difference.startswith("packages.txt: ")
    assert not list((tmp_path / "w").iterdir())


def test_a_missing_tool_is_named_and_no_failure(tmp_path, monkeypatch):
    listing = Listing(Command(("no-such-tool-anywhere", "list")))
    monkeypatch.setattr(information, "LISTS", {"nothing": listing})
    inspection = engine_for(tmp_path, leave_out=[]).inspect()
    assert (inspection.facts["missing"], list(inspection.findings)) == ("no-such-tool-anywhere", [])
    [overview] = [
        data for spec, data in take(engine_for(tmp_path, leave_out=[])).parts if spec.name == "overview"
    ]
    assert json.loads(overview)["lists"]["nothing"] == "not on this machine: no-such-tool-anywhere"


def test_a_tool_that_fails_is_a_finding_and_the_others_go_on(tmp_path, monkeypatch):
    lists = {
        "broken": Listing(Command(("sh", "-c", "echo no; exit 3"))),
        "fine": Listing(Command(("uname",))),
    }
    monkeypatch.setattr(information, "LISTS", lists)
    taken = take(engine_for(tmp_path, leave_out=[]))
    [finding] = taken.findings
    assert "broken" in finding.message and "exit code 3" in finding.message and not finding.caps
    assert "fine" in taken.names and "broken" not in taken.names


def test_a_list_that_nobody_knows_is_refused():
    with pytest.raises(OperationFailed, match="no list"):
        validated(Options, {"leave_out": ["pakages"]})


def test_a_part_with_the_name_of_something_else_is_refused(tmp_path):
    engine = engine_for(tmp_path)
    for part, suffix in (("../up", "txt"), ("packages", "sh"), ("a/b", "txt"), ("", "txt")):
        with pytest.raises(OperationFailed, match="not the name"):
            engine.consumer(part, suffix)(None)


def test_it_never_writes_over_anything(tmp_path):
    engine = engine_for(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "mine").write_text("precious")
    with pytest.raises(OperationFailed, match="not empty"):
        engine.prepare(overwrite=True)
    assert engine.for_reading


def test_crontabs_are_read_each_below_its_name(tmp_path):
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d" / "shop").write_text("0 2 * * * root true\n")
    text, unreadable = crontabs([str(tmp_path / "cron.d"), str(tmp_path / "none")])
    assert text == f"# {tmp_path}/cron.d/shop\n0 2 * * * root true\n".encode()
    assert unreadable == []
