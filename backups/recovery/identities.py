"""Who can read a set: recipients of new sets, the ephemeral identity, and identities that people bring.

An identity brought by a person lies in a file of mode 0600 in memory-backed storage where there is one, named
after its job, from the request until the worker takes it; it is never in a row, a log or a task's arguments.
"""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyrage
from django.conf import settings

from backups.models import RecoveryKey
from drcenter.errors import OperationFailed
from drcenter.jobs.models import OPEN, Job
from drcenter.secrets import Secret, resolve

# Seconds.
GRACE = 60.0
IDENTITY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
NO_KEY_HINT = "Make one: manage.py recovery-kit. A plan can also say, loudly, that it does not encrypt."


def recipients() -> list[str]:
    """The recipients of new sets. Raises OperationFailed when there is none."""
    active = list(RecoveryKey.objects.filter(active=True).order_by("pk").values_list("recipient", flat=True))
    if not active:
        raise OperationFailed("There is no recovery key to encrypt to.", NO_KEY_HINT, permanent=True)
    return active


def parse(text: str) -> list[pyrage.x25519.Identity]:
    """The identities in a text: an identity file, a recovery kit, a line with words around it.

    Raises OperationFailed, without the text, if there is none, or if one of them was not copied whole.
    """
    try:
        found = [pyrage.x25519.Identity.from_str(token) for token in dict.fromkeys(IDENTITY.findall(text))]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise OperationFailed(
            "This is not an age identity.",
            "It begins with AGE-SECRET-KEY-1; the text of the whole recovery kit will do.",
            permanent=True,
        )
    return found


def for_drills() -> list[pyrage.x25519.Identity]:
    """The identities of this machine for drills (DRC_DRILL_IDENTITY); usually there are none."""
    return parse(resolve(settings.DRILL_IDENTITY).reveal()) if settings.DRILL_IDENTITY else []


def bring(job: Job, identity: Secret | None) -> None:
    """Leave a person's identity for the worker of `job`. Raises OperationFailed when it is none."""
    if identity is None or not identity.reveal().strip():
        return
    parse(identity.reveal())
    path = _directory(create=True) / _name(job)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(identity.reveal())


def brought(job: Job) -> list[pyrage.x25519.Identity]:
    """The identities that were left for `job`, taken away by this call; else those for drills."""
    return brought_by_person(job) or for_drills()


def brought_by_person(job: Job) -> list[pyrage.x25519.Identity]:
    """The identities that were left for `job`, taken away by this call; none where nobody left any."""
    path = _place(job)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    path.unlink(missing_ok=True)
    return parse(text)


def forget(job: Job) -> None:
    """Remove what was left for `job`: it has ended."""
    _place(job).unlink(missing_ok=True)


def forget_stale() -> None:
    """A tick: remove identities whose job has ended, or was never committed."""
    for path in _directory().glob("*.identity"):
        # Younger ones may belong to a job whose transaction has not been committed yet.
        with suppress(FileNotFoundError):
            young = 0 <= time.time() - path.stat().st_mtime < GRACE
            if not young and not Job.objects.filter(pk=path.stem, state__in=OPEN).exists():
                path.unlink()


def needed(encrypted_to: Sequence[str], identities: Sequence[pyrage.x25519.Identity]) -> None:
    """Raises OperationFailed unless one of `identities` is among the recipients `encrypted_to`."""
    if not encrypted_to:
        return
    if not identities:
        raise OperationFailed(
            "This set is encrypted, and no identity is at hand.",
            "Bring the identity from the recovery kit: paste it in the panel, or --identity-file on the shell."
            f" It is the one of {_named(encrypted_to)}.",
            permanent=True,
        )
    if not {str(one.to_public()) for one in identities} & set(encrypted_to):
        raise OperationFailed(
            "The identity does not fit: this set was encrypted to other recipients.",
            f"It needs the identity of {_named(encrypted_to)}.",
            permanent=True,
        )


def check_fits(encrypted_to: Sequence[str], identity: Secret | None) -> None:
    """Raises OperationFailed unless `identity`, or else that of this machine for drills, opens what is encrypted so."""
    brings = identity is not None and identity.reveal().strip()
    needed(encrypted_to, parse(identity.reveal()) if identity is not None and brings else for_drills())


def _named(encrypted_to: Sequence[str]) -> str:
    """Recipients with the names of their keys, as far as they are known here: “safe A” (age1…)."""
    names = dict(RecoveryKey.objects.filter(recipient__in=encrypted_to).values_list("recipient", "name"))
    return ", ".join(f"“{names[one]}” ({one})" if one in names else one for one in encrypted_to)


def _directory(*, create: bool = False) -> Path:
    # Memory-backed where there is such a place, so that the identity never touches a disk.
    memory = Path("/dev/shm")  # noqa: S108 - a directory of mode 0700 of our own is made in it
    base = memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(settings.STATE_DIR)
    tag = hashlib.sha256(str(settings.STATE_DIR).encode()).hexdigest()[:12]
    directory = base / f"drcenter-{os.geteuid()}-{tag}"
    if create:
        directory.mkdir(mode=0o700, exist_ok=True)
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return directory
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise OperationFailed(
            f"{directory} belongs to somebody else, or is open to others.", "Remove it.", permanent=True
        )
    return directory


def _place(job: Job) -> Path:
    return _directory() / _name(job)


def _name(job: Job) -> str:
    return f"{job.pk}.identity"
