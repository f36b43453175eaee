"""Protected places for what an engine has to put on disk for a moment."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from drcenter.errors import OperationFailed


@contextmanager
def protected_directory() -> Iterator[Path]:
    """A directory of mode 0700 in the state directory, gone when the context ends.

    Not where the system keeps temporary files: that is often memory, and a copy may be large.
    Raises OperationFailed when it cannot be made.
    """
    parent = Path(settings.STATE_DIR) / "tmp"
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(prefix="engine-", dir=parent)
    except OSError as error:
        raise OperationFailed(
            f"No place for temporary files in {parent}: {error.strerror}.",
            "Check DRC_STATE, the space on its disk, and the rights of the workers' user.",
        ) from None
    with directory as name:
        yield Path(name)
