"""Plugins: a file in a folder is one, and an incomplete one is named at start."""

import sys
from abc import ABC, abstractmethod

import pytest
from django.core.exceptions import ImproperlyConfigured

from drcenter.plugins import load


class Base(ABC):
    @abstractmethod
    def act(self) -> str: ...


GOOD = f"from {__name__} import Base\nclass Plugin(Base):\n    def act(self): return __name__\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package that tests put files into; forgotten afterwards."""
    package = tmp_path / "plugins_under_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("raise AssertionError('base is no plugin')")
    (package / "_private.py").write_text("raise AssertionError('a private module is no plugin')")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("plugins_under_test")]:
        del sys.modules[name]


def test_every_public_file_is_a_plugin_by_its_name(folder):
    (folder / "one.py").write_text(GOOD)
    (folder / "two.py").write_text(GOOD)
    found = load("plugins_under_test", Base)
    assert sorted(found) == ["one", "two"]
    assert found["two"]().act() == "plugins_under_test.two"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "broken must define class Plugin"),
        ("Plugin = 1", "broken must define class Plugin"),
        ("class Plugin: pass", "broken must define class Plugin"),
        (f"from {__name__} import Base\nclass Plugin(Base): pass", "broken.Plugin lacks act"),
    ],
)
def test_an_incomplete_one_is_named(folder, text, message):
    (folder / "broken.py").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=message):
        load("plugins_under_test", Base)
