#!/usr/bin/env python3
"""The command line of the DR Center: `manage.py help` lists the commands."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")
    try:
        from drcenter.management.edge import main
    except ModuleNotFoundError:
        # Typed as ./manage.py: what `make setup` installed is beside us.
        python = os.path.join(os.path.dirname(os.path.abspath(__file__)), ".venv", "bin", "python")
        if not os.path.exists(python) or sys.prefix != sys.base_prefix:
            raise
        os.execv(python, [python, *sys.argv])  # noqa: S606 - ourselves again

    main(sys.argv)
