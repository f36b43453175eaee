#!/usr/bin/env python3
"""The command line of the DR Center: `manage.py help` lists the commands."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")
    from drcenter.management.edge import main

    main(sys.argv)
