"""Laravel's maintenance mode, on a real application that is served."""

import json
import urllib.request

import pytest

from drcenter.errors import OperationFailed
from drcenter.management.demo.laravel import create
from drcenter.systems.control.artisan import Plugin
from tests.drcenter.systems.control.ground import TestGround
from tests.live.laravel import answer, served


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    root = tmp_path_factory.mktemp("laravel") / "shop"
    create(root)
    return root


@pytest.fixture
def ground(application):
    yield TestGround(application)
    for name in ("down", "maintenance.php"):
        (application / "storage/framework" / name).unlink(missing_ok=True)


def test_visitors_are_turned_away_and_let_in_again(application, ground):
    way = Plugin({})
    with served(application) as address:
        way.check(ground)
        before = way.look(ground)
        assert answer(address)[0] == 200
        way.stop(ground, before)
        way.stop(ground, before)
        assert answer(address)[0] == 503
        way.start(ground, before)
        assert answer(address)[0] == 200


def test_an_application_that_was_down_stays_down(application, ground):
    ground.run("php", "artisan", "down")
    way = Plugin({})
    before = way.look(ground)
    way.stop(ground, before)
    way.start(ground, before)
    assert way.look(ground) == {"down": True}


def test_the_way_in_is_no_argument(application, ground, monkeypatch, tmp_path):
    monkeypatch.setenv("WAY_IN", "let-me-look-4711")
    seen = tmp_path / "seen"
    php = tmp_path / "php"
    php.write_text(f'#!/bin/sh\necho "$*" >> {seen}\nexec php "$@"\n')
    php.chmod(0o755)
    way = Plugin({"php": str(php), "secret": "env:WAY_IN"})
    before = way.look(ground)
    way.stop(ground, before)
    assert json.loads((application / "storage/framework/down").read_text())["secret"] == "let-me-look-4711"
    assert "let-me-look" not in seen.read_text()
    with served(application) as address:
        assert answer(address)[0] == 503
        jar = urllib.request.HTTPCookieProcessor()
        with urllib.request.build_opener(jar).open(f"{address}/let-me-look-4711", timeout=10) as seen_inside:
            assert seen_inside.status == 200
    way.start(ground, before)
    assert way.look(ground) == {"down": False}


def test_no_application_is_told_before_anything_is_done(tmp_path):
    with pytest.raises(OperationFailed, match="no Laravel application here"):
        Plugin({}).check(TestGround(tmp_path))
