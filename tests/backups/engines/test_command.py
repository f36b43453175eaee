"""The engine for any command: what it builds is compared whole, and what it runs is run."""

import time

import pytest

from backups.engines.base import NoScratch
from backups.engines.command import Options, Plugin
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import Command, run
from drcenter.secrets import Secret
from tests.backups.engines.taking import restore, take


def engine_for(*argv, **options) -> Plugin:
    return Plugin(validated(Options, {"argv": list(argv), **options}))


def command_of(engine) -> Command:
    with engine.snapshot() as snapshot:
        [spec] = snapshot.parts()
        [command] = spec.producers
        return command


def test_a_round_trip(tmp_path):
    source, target = tmp_path / "a b", tmp_path / "restored"
    source.write_bytes(b"\0any\xff")
    engine = engine_for("cat", str(source), restore_argv=["tee", str(target)], part="export", suffix="json")
    taken = take(engine)
    assert [(spec.name, spec.suffix) for spec, _ in taken.parts] == [("export", "json")]
    restore(engine, taken, overwrite=True)
    assert target.read_bytes() == b"\0any\xff"


def test_the_command_is_built_whole(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hush-hush-token")
    engine = engine_for(
        "curl", "--config", "{file:token}", secrets=["token=env:API_TOKEN"], timeout=60,
        environment=["LANGUAGE=en", "TOKEN_FILE={file:token}"], directory="/srv",
    )  # fmt: skip
    assert command_of(engine) == Command(
        argv=("timeout", "--signal=TERM", "--kill-after=10", "60", "setpriv", "--pdeathsig", "KILL", "--",
              "curl", "--config", "{file:token}"),
        env={"LANGUAGE": "en", "TOKEN_FILE": "{file:token}"},
        files={"file:token": Secret("hush-hush-token")},
        directory="/srv",
    )  # fmt: skip


def test_a_secret_arrives_as_a_file(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hush-hush-token")
    script = 'cat "$1" "$TOKEN_FILE"; tr "\\0" " " < /proc/self/cmdline; env'
    engine = engine_for("sh", "-c", script, "sh", "{file:token}", timeout=60, secrets=["token=env:API_TOKEN"],
                        environment=["TOKEN_FILE={file:token}"])  # fmt: skip
    [(_, output)] = take(engine).parts
    assert output.count(b"hush-hush-token") == 2, "twice from the file, never from argv or the environment"


def test_it_is_never_proven(tmp_path):
    engine = engine_for("true")
    assert engine.witness() == Witness()
    with pytest.raises(NoScratch, match="intact at most"):
        engine.scratch(tmp_path, {})
    assert "intact at most" in engine.inspect().findings[0].message


def test_the_time_limit_ends_the_command():
    command = command_of(engine_for("sleep", "60", timeout=1))
    begin = time.monotonic()
    with pytest.raises(OperationFailed, match="124"):
        run(command)
    assert time.monotonic() - begin < 10


def test_no_shell_reads_the_arguments():
    [(_, output)] = take(engine_for("echo", "$HOME; `id`", "*")).parts
    assert output == b"$HOME; `id` *\n"


def test_a_failing_command_fails():
    with pytest.raises(OperationFailed, match="exit code 3: went wrong"):
        run(command_of(engine_for("sh", "-c", "echo went wrong >&2; exit 3")))


def test_restoring_without_a_command_is_refused():
    engine = engine_for("true")
    with pytest.raises(OperationFailed, match="No command to restore"):
        engine.prepare(overwrite=True)
    with pytest.raises(OperationFailed, match="No command to restore"):
        engine.consumer("output", "bin")
    with pytest.raises(OperationFailed, match="overwrites"):
        engine_for("true", restore_argv=["cat"]).prepare(overwrite=False)
    with pytest.raises(OperationFailed, match="beside"):
        engine.beside("x")


def test_inspect_names_what_is_missing():
    with pytest.raises(OperationFailed, match="no-such-tool"):
        engine_for("no-such-tool").inspect()
    with pytest.raises(OperationFailed, match="DRC_TEST_NOT_SET"):
        engine_for("true", secrets=["x=env:DRC_TEST_NOT_SET"]).inspect()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"argv": []}, "argv"),
        ({"argv": ["true"], "secrets": ["token=the value itself"]}, "secrets"),
        ({"argv": ["true"], "secrets": ["env:X"]}, "secrets"),
        ({"argv": ["true"], "environment": ["no value"]}, "environment"),
        ({"argv": ["cat", "{file:unknown}"]}, "unknown"),
        ({"argv": ["true"], "part": "../x"}, "part"),
        ({"argv": ["true"], "suffix": "a.b"}, "suffix"),
        ({"argv": ["true"], "smallest": 0}, "smallest"),
    ],
)
def test_the_form_refuses(options, field):
    with pytest.raises(OperationFailed, match=field):
        validated(Options, options)
