"""What every engine promises, tried on each file in the folder of engines."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django import forms

from backups.engines import engines
from backups.engines.base import Engine, NoScratch, is_gone
from drcenter.errors import OperationFailed
from drcenter.options import SecretField, validated
from drcenter.process import Command, find, run

VALUE = "sesame-open-up-4711"
REFERENCE = "env:DRC_TEST_CONTRACT"
# Options of a source of each engine, and the parts of its sets: a new engine adds a line.
SAMPLES = {
    "command": ({"argv": ["printf", "%s", "{file:pw}"], "restore_argv": ["cat", "{file:pw}"],
                 "secrets": [f"pw={REFERENCE}"]}, [("output", "bin")]),
    "files": ({"path": "PLACE/tree", "exclude": ["vendor"], "keep": ["down"]}, [("tree", "tar"), ("tree-retry-1", "tar")]),
    "git": ({"path": "PLACE/repository"}, [("status", "txt"), ("unpushed", "bundle")]),
    "information": ({"directory": "PLACE/information", "leave_out": ["npm-global"]}, [("packages", "txt")]),
    "mariadb": ({"user": "app", "password": REFERENCE, "database": "app"}, [("accounts", "sql"), ("database", "sql")]),
    "mariadb_physical": ({"user": "app", "password": REFERENCE}, []),
    "mariadb_schema": ({"user": "app", "password": REFERENCE, "database": "app"},
                       [("database", "sql"), ("statistics", "json")]),
    "postgresql_schema": ({"host": "db", "user": "app", "password": REFERENCE, "database": "app"},
                          [("database", "sql"), ("statistics", "json")]),
    "sqlite_schema": ({"path": "PLACE/app.sqlite"}, [("schema", "sql"), ("statistics", "json")]),
    "certificates": ({"path": "PLACE/tree"}, [("tree", "tar")]),
    "redis": ({"password": REFERENCE, "file": "PLACE/dump.rdb"}, [("dump", "rdb")]),
    "postgresql": ({"host": "db", "user": "app", "password": REFERENCE, "database": "app"},
                   [("globals", "sql"), ("database", "sql")]),
    "postgresql_physical": ({"host": "db", "user": "app", "password": REFERENCE}, []),
    "sqlite": ({"path": "PLACE/app.sqlite", "critical_tables": ["t"]}, [("database", "sqlite3")]),
}  # fmt: skip
# Those whose source is on this machine; the others are tried whole against real servers.
LOCAL = ("certificates", "command", "files", "git", "information", "sqlite", "sqlite_schema")
# Those that need no option: what they tell of is this machine.
WHOLE = ("information", "redis")


@pytest.fixture(params=sorted(engines()))
def name(request) -> str:
    return str(request.param)


@pytest.fixture
def engine(name, tmp_path, monkeypatch) -> Engine:
    monkeypatch.setenv("DRC_TEST_CONTRACT", VALUE)
    (tmp_path / "tree").mkdir()
    with closing(sqlite3.connect(tmp_path / "app.sqlite")) as connection:
        connection.execute("CREATE TABLE t (a)")
    run(Command(("git", "init", "--quiet", str(tmp_path / "repository"))))
    plugin = engines()[name]
    sample = json.loads(json.dumps(SAMPLES[name][0]).replace("PLACE", str(tmp_path)))
    return plugin(validated(plugin.Options, sample))


def test_every_engine_has_a_sample():
    assert set(engines()) == set(SAMPLES)


def test_it_describes_itself(engine):
    assert str(engine.label)
    assert issubclass(engine.Options, forms.Form)
    for field in engine.Options().fields.values():
        assert str(field.label)
    for tool in engine.required_tools:
        assert find(tool)


def test_it_can_be_made_from_an_empty_row(name):
    """A row that was never filled in must be shown, not crash the panel."""
    assert engines()[name]({}).options.keys() >= engines()[name].Options().fields.keys()
    if name in WHOLE:
        assert validated(engines()[name].Options, {}) == engines()[name]({}).options
        return
    with pytest.raises(OperationFailed, match="not valid"):
        validated(engines()[name].Options, {})


def test_its_options_are_json_and_hold_no_secret(engine):
    text = json.dumps(engine.options)
    assert VALUE not in text
    assert validated(engine.Options, json.loads(text)) == engine.options


def test_its_form_refuses_a_secret_itself(engine):
    for field in [key for key, field in engine.Options().fields.items() if isinstance(field, SecretField)]:
        with pytest.raises(OperationFailed, match=field) as caught:
            validated(engine.Options, engine.options | {field: VALUE})
        assert VALUE not in str(caught.value)


def test_its_target_and_host_name_the_place(engine):
    for text in (engine.target, engine.host, repr(engine)):
        assert text
        assert VALUE not in text
        assert "\n" not in text


def test_replaced_is_the_same_engine_with_other_options(engine):
    key = next(iter(engine.options))
    other = engine.replaced(**{key: engine.options[key]})
    assert type(other) is type(engine)
    assert other is not engine
    assert other.options == engine.options


def test_beside_is_another_place_or_is_refused(engine):
    try:
        place = engine.beside("restored")
    except OperationFailed as error:
        assert error.permanent
    else:
        assert place.target != engine.target
        assert "restored" in place.target


def commands_of(name: str, engine: Engine) -> Iterator[Command]:
    for part, suffix in SAMPLES[name][1]:
        if isinstance(consumer := engine.consumer(part, suffix), Command):
            yield consumer
    if name in LOCAL:
        with engine.snapshot() as snapshot:
            for spec in snapshot.parts():
                yield from (producer for producer in spec.producers if isinstance(producer, Command))
                break


def test_no_command_shows_a_secret(name, engine):
    for command in commands_of(name, engine):
        seen = [*command.argv, *command.env, *command.env.values(), repr(command)]
        assert not [text for text in seen if VALUE in text]


@pytest.mark.parametrize("name", LOCAL)
def test_its_findings_are_ready_for_json(engine):
    inspection = engine.inspect()
    assert inspection.size >= 0
    json.dumps([dict(inspection.facts), [finding.as_json() for finding in inspection.findings]])


@pytest.mark.parametrize("name", LOCAL)
def test_scratch_gives_an_empty_place_or_a_reason(engine, tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir(mode=0o700)
    try:
        with engine.scratch(workspace, engine.inspect().facts) as place:
            place.prepare(overwrite=False)
    except NoScratch as error:
        assert error.message.endswith(".")
    assert not list(workspace.iterdir())


def test_only_what_the_system_says_is_not_there_is_gone(tmp_path: Path) -> None:
    """A source that cannot be looked at is not taken for one of which nothing is left to save."""
    (tmp_path / "file").write_text("")
    assert is_gone(tmp_path / "nothing")
    assert not is_gone(tmp_path / "file")
    assert not is_gone(tmp_path / "file" / "below")
