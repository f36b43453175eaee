"""Directories that a restore makes for people to read, beside whatever they are about."""

import os
import shutil
from pathlib import Path

from drcenter.errors import OperationFailed


def beside_path(original: str, name: str) -> str:
    """The directory `name` near `original`. Raises OperationFailed when it is the original, or no name."""
    if not name or (not os.path.isabs(name) and os.path.basename(name) != name) or name in {".", ".."}:
        raise OperationFailed(f"{name!r} is neither a directory's name nor an absolute path.", permanent=True)
    place = os.path.normpath(os.path.join(os.path.dirname(original), name))
    if os.path.realpath(place) == os.path.realpath(original):
        raise OperationFailed("This is the directory itself, not a place beside it.", permanent=True)
    return place


def remove_place(path: Path) -> None:
    """Remove a directory that a restore made; what cannot be removed is told. Links are not followed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OperationFailed(f"{path} cannot be removed: {error.strerror}.", "Remove it by hand.") from None
