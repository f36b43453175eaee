"""Where the parts of `manage.py run` write to."""

import os
import sys


def one_stream() -> None:
    """Send standard error where standard output goes: the supervisor passes on the latter alone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(1, 2)
