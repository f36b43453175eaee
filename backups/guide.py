"""The guide and the script inside a set."""

from backups.layout import Manifest


def script(manifest: Manifest) -> str:
    return "#!/bin/sh\n"


def text(manifest: Manifest) -> str:
    return "# Restore\n"
