"""A Helm release. Debian has no helm, and a cluster is nowhere: a script that keeps a history stands for it, with
the JSON of `helm history` and the words of `helm rollback`."""

import json

import pytest

from drcenter.errors import OperationFailed
from incidents.actions.helm_rollback import HelmOptions, Plugin
from tests.incidents.actions.here import context, done

HELM = """#!/usr/bin/env python3
import json, sys, pathlib
path = pathlib.Path(__file__).with_name("history.json")
history = json.loads(path.read_text())
words = [word for word in sys.argv[1:] if not word.startswith("--")]
if words[0] == "history":
    print(json.dumps(history))
elif path.with_name("broken").exists():
    sys.exit("Error: timed out waiting for the condition")
else:
    for one in history:
        one["status"] = "superseded" if one["status"] == "deployed" else one["status"]
    number = int(words[2])
    old = next(one for one in history if one["revision"] == number)
    history.append(old | {"revision": len(history) + 1, "status": "deployed", "description": f"Rollback to {number}"})
    path.write_text(json.dumps(history))
"""


@pytest.fixture
def helm(tmp_path, monkeypatch):
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    states = ["superseded", "failed", "superseded", "deployed"]
    write(tmp_path, [
        {"revision": number, "status": state, "chart": f"shop-1.{number}", "app_version": f"{number}.0", "description": "Upgrade complete"}
        for number, state in enumerate(states, 1)
    ])  # fmt: skip
    return tmp_path


def write(place, history):
    (place / "history.json").write_text(json.dumps(history))


def deployed(place):
    return [one for one in json.loads((place / "history.json").read_text()) if one["status"] == "deployed"][
        -1
    ]["chart"]


def test_the_release_goes_back_to_the_last_good_one_and_comes_again(helm):
    action, here = Plugin({"release": "shop", "namespace": "live"}), context()
    before = done(action, here)
    assert deployed(helm) == "shop-1.3"
    action.undo(here, before)
    assert deployed(helm) == "shop-1.4"


def test_one_that_never_went_well_is_passed_over(helm):
    history = json.loads((helm / "history.json").read_text())
    history[2]["status"] = "failed"
    write(helm, history)
    done(Plugin({"release": "shop", "namespace": "live"}), context())
    assert deployed(helm) == "shop-1.1"


def test_a_rollback_that_does_not_come_up_is_told(helm):
    (helm / "broken").touch()
    action, here = Plugin({"release": "shop", "namespace": "live"}), context()
    before = action.look(here)
    with pytest.raises(OperationFailed, match="timed out"):
        action.execute(here, before)
    with pytest.raises(OperationFailed, match="is at 4"):
        action.verify(here, before)


def test_the_first_release_cannot_go_back(helm):
    write(helm, json.loads((helm / "history.json").read_text())[-1:])
    with pytest.raises(OperationFailed, match="no earlier revision"):
        Plugin({"release": "shop", "namespace": "live"}).look(context())


def test_names_are_no_options_of_helm():
    assert {"release", "namespace"} <= set(
        HelmOptions({"release": "--all", "namespace": "-n", "minutes": 5}).errors
    )
