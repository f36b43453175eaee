"""Where the demonstration keeps what it makes."""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from django.conf import settings

from drcenter.errors import OperationFailed


def directory() -> Path:
    """Everything of the demonstration but its database servers."""
    place = Path(settings.STATE_DIR) / "demo"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def secret(name: str, length: int = 12) -> str:
    """A random word that is made once, and kept in a file of mode 0600."""
    path = directory() / name
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(length))
    return path.read_text()


def server_directory(name: str) -> Path:
    """Where a database server keeps its data. As root the servers run as users of their own, who have to be
    able to get there: then it is below /var/tmp, and a link in the state directory leads to it."""
    if os.geteuid() != 0:
        return directory() / name
    return _below_var_tmp() / name


def _below_var_tmp() -> Path:
    tag = hashlib.sha256(str(settings.STATE_DIR).encode()).hexdigest()[:12]
    place = Path("/var/tmp") / f"drcenter-demo-{tag}"  # noqa: S108 - checked below to be ours alone
    place.mkdir(mode=0o711, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise OperationFailed(f"{place} belongs to somebody else.", "Remove it, or choose another DRC_STATE.")
    link = directory() / "servers"
    if not link.is_symlink():
        link.symlink_to(place)
    return place
