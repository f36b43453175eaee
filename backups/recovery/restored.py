"""The place of restores beside: below the DR Center's own state, and in no set.

Next to the original would be inside of a web root as often as not, or in a directory that the next backup reads.
"""

import glob
import os
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed


def root() -> Path:
    """The directory that holds them: SYSTEM/SET/SOURCE."""
    return Path(settings.STATE_DIR) / "restored"


def free_place(system: str, identifier: str, source: str) -> str:
    """A path below the root where nothing is yet."""
    wanted = root() / system / identifier / source
    place, number = wanted, 1
    while os.path.lexists(place):
        number += 1
        place = wanted.with_name(f"{source}-{number}")
    return str(place)


def shelter(path: str) -> None:
    """Make the directories above a place below the root, which nobody else may enter (mode 0700).

    Raises OperationFailed. For any other place: nothing.
    """
    try:
        for directory in _above(path):
            directory.mkdir(mode=0o700, exist_ok=True)
            # Where it was there already, or the mask of the process took a bit of it.
            directory.chmod(0o700)
    except OSError as error:
        raise OperationFailed(
            _("%(path)s cannot be made: %(error)s.") % {"path": path, "error": error.strerror},
            _("Check the rights of the workers' user there, or name another place: an absolute path."),
        ) from None


def clear_away(path: str) -> None:
    """Remove the directories above a place below the root that are empty."""
    with suppress(OSError):
        for directory in reversed(_above(path)):
            directory.rmdir()


def _above(path: str) -> list[Path]:
    """The root, and what lies between it and `path`; empty for a path that is not below the root."""
    place = Path(path)
    if root() not in place.parents:
        return []
    between = [one for one in place.parents if root() in one.parents]
    return [root(), *reversed(between)]


def left_out(path: str) -> list[str]:
    """Patterns for a backup of the tree `path`, and for a restore over it, that leave the root alone.

    And what is only there while something is taken or proven: it would change while it is read.
    """
    real = os.path.realpath(path)
    places = [os.path.relpath(root().with_name(name), real) for name in (root().name, "scratch", "tmp")]
    return [glob.escape(place) for place in places if place.split("/")[0] not in {".", ".."}]


def refuse_as_source(path: str) -> None:
    """Raises OperationFailed for a source that is itself a restored copy."""
    real = os.path.realpath(path)
    if real == str(root()) or real.startswith(f"{root()}/"):
        raise OperationFailed(
            f"{path} lies in {root()}, where restores beside are kept: those are never backed up.",
            "Move it to where it belongs, and correct the path of the source.",
            permanent=True,
        )
