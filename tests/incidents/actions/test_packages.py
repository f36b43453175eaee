"""Packages are those of the lock file again: real composer and npm, with packages that lie beside."""

import json
import shutil
import subprocess

import pytest

from drcenter.errors import OperationFailed
from incidents.actions import composer_install, npm_install
from tests.backups.destinations.azurite import node_directory
from tests.incidents.actions.here import context, done


@pytest.fixture
def php(tmp_path, monkeypatch):
    """An application that needs acme/money, of which two releases lie beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    application = tmp_path / "application"
    for version in ("1.0.0", "2.0.0"):
        package = tmp_path / f"money-{version}"
        package.mkdir()
        (package / "composer.json").write_text(json.dumps({"name": "acme/money", "version": version}))
    application.mkdir()
    return application


def require(application, version):
    (application / "composer.json").write_text(
        json.dumps({
            "repositories": [
                {"type": "path", "url": f"../money-{version}", "options": {"symlink": False}}, {"packagist.org": False},
            ],
            "require": {"acme/money": version},
        })
    )  # fmt: skip
    subprocess.run(["composer", "update", "--quiet", "--no-interaction"], cwd=application, check=True)


def test_composer_installs_what_the_lock_file_says(php):
    require(php, "1.0.0")
    kept = {name: (php / name).read_bytes() for name in ("composer.json", "composer.lock")}
    require(php, "2.0.0")
    for name, content in kept.items():
        (php / name).write_bytes(content)
    action = composer_install.Plugin({})
    before = done(action, context(php))
    assert before == {"changes": ["acme/money"]}
    assert json.loads((php / "vendor/acme/money/composer.json").read_text())["version"] == "1.0.0"


def test_a_package_that_composer_left_out_is_told(php):
    require(php, "1.0.0")
    action = composer_install.Plugin({})
    before = action.look(context(php))
    (php / "vendor/composer/installed.json").write_text('{"packages": []}')
    with pytest.raises(OperationFailed, match="acme/money"):
        action.verify(context(php), before)


@pytest.mark.parametrize("content", [None, "{", "[]"])
@pytest.mark.parametrize("action", [composer_install.Plugin({}), npm_install.Plugin({})])
def test_without_a_lock_file_nothing_is_done(tmp_path, action, content):
    if content is not None:
        for name in ("composer.lock", "package-lock.json"):
            (tmp_path / name).write_text(content)
    with pytest.raises(OperationFailed, match="lock file"):
        action.look(context(tmp_path))


@pytest.fixture
def front_end(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{node_directory()}:/usr/bin:/bin")
    (tmp_path / "money").mkdir()
    (tmp_path / "money/package.json").write_text('{"name": "money", "version": "1.0.0"}')
    subprocess.run(["npm", "pack", "--silent"], cwd=tmp_path / "money", check=True, capture_output=True)
    application = tmp_path / "application"
    application.mkdir()
    (application / "package.json").write_text(
        json.dumps({"name": "app", "version": "1.0.0", "dependencies": {"money": "file:../money/money-1.0.0.tgz"},
                    "scripts": {"build": "cp node_modules/money/package.json built.json"}})
    )  # fmt: skip
    words = ["npm", "install", "--package-lock-only", "--silent", "--no-audit", "--no-fund", "--offline"]
    subprocess.run(words, cwd=application, check=True)
    return application


def test_npm_installs_what_the_lock_file_says_and_builds(front_end):
    action = npm_install.Plugin({})
    assert done(action, context(front_end)) == {"packages": 1}
    assert json.loads((front_end / "built.json").read_text())["version"] == "1.0.0"
    shutil.rmtree(front_end / "node_modules/money")
    with pytest.raises(OperationFailed, match="node_modules/money"):
        action.verify(context(front_end), {"packages": 1})
