"""Where the actions of the tests act."""

from pathlib import Path

from drcenter.systems.models import System
from incidents.actions.base import Context


def context(directory: Path | str = "") -> Context:
    """A system whose commands run in `directory`, as whoever runs the tests; the log is `context.log.__self__`."""
    lines: list[str] = []
    return Context(System(slug="shop", name="Shop", commands_directory=str(directory)), lines.append)


def done(action, where: Context) -> dict:
    """Look, act, measure; what was found before."""
    before = action.look(where)
    assert action.foretell(before)
    action.execute(where, before)
    assert action.verify(where, before)
    return before
