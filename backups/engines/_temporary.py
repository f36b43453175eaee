"""Protected places for what an engine has to put on disk for a moment."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def protected_directory() -> Iterator[Path]:
    """A directory of mode 0700, gone when the context ends.

    It stands under `$DRC_STATE/tmp` where that variable is set (the state directory is known to have
    room for a copy of the data), otherwise where the system keeps temporary files.
    """
    parent = None
    if state := os.environ.get("DRC_STATE"):
        parent = os.path.join(state, "tmp")
        os.makedirs(parent, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="engine-", dir=parent) as name:
        yield Path(name)
