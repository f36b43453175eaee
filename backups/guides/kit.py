"""The recovery kit: an identity that leaves this machine on paper, and what to know besides.

Here only the recipient stays. The identity is made in this process, printed on an operator's terminal or written to
a file of mode 0600, and forgotten: it is in no row, no log, no argument. Without the output there is no key: both
happen, or neither.
"""

import os
import re
import secrets
import socket
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import pyrage
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.guides.guide import PLACEHOLDER
from backups.guides.restore_script import FOLDER, one_line
from backups.models import Destination, RecoveryKey, Set
from backups.recovery import identities
from backups.storage import publish
from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret, is_reference
from drcenter.systems.models import System

LANGUAGES = ("en", "de")
INDENT = "   "


def make(
    name: str, actor: str, emit: Callable[[RecoveryKey, Secret], None], *, for_drills: bool = False
) -> RecoveryKey:
    """A new key: its recipient here, its identity only to `emit`. If `emit` raises, there is no key.

    Raises OperationFailed when the name is taken.
    """
    identity = pyrage.x25519.Identity.generate()
    with transaction.atomic():
        if RecoveryKey.objects.filter(name=name).exists():
            raise OperationFailed(
                _("There is a recovery key %(name)s already.") % {"name": name},
                _("Choose another one: --name"),
                permanent=True,
            )
        recipient = str(identity.to_public())
        key = RecoveryKey.objects.create(name=name, recipient=recipient, for_drills=for_drills)
        record(actor, "backups.key.made", key, recipient=recipient, for_drills=for_drills)
        emit(key, Secret(str(identity)))
    return key


def free_name(stem: str) -> str:
    """`stem` and today's date, and a number where there is one already."""
    base = f"{stem} {timezone.localdate():%Y-%m-%d}"
    taken = set(RecoveryKey.objects.values_list("name", flat=True))
    names = (base if number == 1 else f"{base} ({number})" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def write_private(path: Path, content: str) -> None:
    """A new file of mode 0600, on the disk. Raises OperationFailed rather than overwrite anything."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise OperationFailed(
            _("%(path)s cannot be written: %(error)s.") % {"path": path, "error": error.strerror},
            _("Choose a file that does not exist yet."),
            permanent=True,
        ) from None
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OperationFailed(
            _("%(path)s cannot be written: %(error)s.") % {"path": path, "error": error.strerror}
        ) from None


# ---------------------------------------------------------------------------- the sheet


def sheet(key: RecoveryKey, identity: Secret, language: str) -> str:
    """The kit as text, 78 columns wide, for a printer; it holds the identity."""
    signing = publish.signing_key()
    values = {
        "date": f"{timezone.localdate():%Y-%m-%d}",
        "host": socket.getfqdn(),
        "name": key.name,
        "moment": f"{key.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "earlier": _earlier(key, language),
        "systems": _systems(),
        "identity": INDENT + identity.reveal(),
        "recipient": INDENT + key.recipient,
        "pem": textwrap.indent(signing.public_pem, INDENT),
        "fingerprint": signing.fingerprint,
        "destinations": _destinations(),
    }
    template = (FOLDER / f"kit.{language}.txt").read_text()
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def identity_file(key: RecoveryKey, identity: Secret) -> str:
    """An identity file as age reads it."""
    made = f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"
    return f"# created: {made}\n# public key: {key.recipient}\n{identity.reveal()}\n"


def _earlier(key: RecoveryKey, language: str) -> str:
    """A paragraph of the sheet on the sets that it does not open; "" where there is none."""
    with translation.override(language):
        text = unreadable(key)
    return f"\n{textwrap.fill(text, 78)}\n" if text else ""


def _systems() -> str:
    """With the number of the newest set: a store that has no such set, and none after it, was put back."""
    names = []
    for one in System.objects.order_by("name"):
        newest = Set.objects.complete().filter(system=one).newest_number()
        names.append(f"{one_line(one.name)} ({one.slug}{f', #{newest}' if newest else ''})")
    return textwrap.fill(", ".join(names) or "-", 76, initial_indent="", subsequent_indent=INDENT)


def _destinations() -> str:
    """Where the sets are, with all options; credentials are there by reference only."""
    rows = [_destination(one) for one in Destination.objects.order_by("name")]
    return "\n".join(rows) or f"{INDENT}-"


def _destination(row: Destination) -> str:
    try:
        target = row.build().target
    except OperationFailed as error:
        target = error.message
    lines = [f"{INDENT}* {row.name} ({row.kind}): {one_line(str(target))}"]
    lines += [
        f"{INDENT}    {name}: {_shown(value)}"
        for name, value in sorted(row.options.items())
        if value not in ("", None)
    ]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    text = one_line(str(value))
    return f"{text}  ______________________________" if is_reference(text) else text


# ---------------------------------------------------------------------------- does somebody hold it?


def held(identity: Secret, actor: str) -> list[RecoveryKey]:
    """Somebody showed an identity: the keys it fits are held. Raises OperationFailed when it fits none."""
    recipients = {str(one.to_public()) for one in identities.parse(identity.reveal())}
    found = list(RecoveryKey.objects.filter(recipient__in=recipients))
    if not found:
        with transaction.atomic():
            record(actor, "backups.key.checked", result=Result.REFUSED, reason="fits no key")
        raise OperationFailed(
            _("This identity fits none of the recovery keys here."),
            _(
                "manage.py recovery-kit --list shows their recipients; age-keygen -y shows the one of an identity."
            ),
            permanent=True,
        )
    for key in found:
        _note_held(key, actor, "identity")
    return found


@dataclass(frozen=True)
class Challenge:
    """A word that only the holder of the identity can read: `message` is its armored age file."""

    key: RecoveryKey
    word: str
    message: str

    def answer(self, typed: str, actor: str) -> None:
        """Raises OperationFailed when `typed` is not the word."""
        if secrets.compare_digest(_normal(typed), _normal(self.word)):
            _note_held(self.key, actor, "challenge")
            return
        with transaction.atomic():
            record(actor, "backups.key.checked", self.key, result=Result.REFUSED, reason="wrong word")
        raise OperationFailed(
            _("That is not the word."), _("Begin again: each challenge has another word."), permanent=True
        )


def challenge(key: RecoveryKey) -> Challenge:
    """A new challenge for `key`; the identity need not come near this machine."""
    word = "-".join(secrets.token_hex(2) for _number in range(3))
    recipient = pyrage.x25519.Recipient.from_str(key.recipient)
    return Challenge(key, word, pyrage.encrypt(f"{word}\n".encode(), [recipient], armored=True).decode())


def _normal(text: str) -> bytes:
    return re.sub(r"[^0-9a-f]", "", text.lower()).encode()


def _note_held(key: RecoveryKey, actor: str, how: str) -> None:
    with transaction.atomic():
        RecoveryKey.objects.filter(pk=key.pk).update(held_at=timezone.now())
        record(actor, "backups.key.checked", key, how=how)


# ---------------------------------------------------------------------------- retiring


def named(name: str | None) -> RecoveryKey:
    """The key of that name, or the only active one. Raises OperationFailed."""
    keys = RecoveryKey.objects.filter(name=name) if name else RecoveryKey.objects.filter(active=True)
    if len(keys) == 1:
        return keys[0]
    known = ", ".join(RecoveryKey.objects.values_list("name", flat=True)) or _("none")
    raise OperationFailed(
        _("Which key is meant?"), _("Name it; there are: %(known)s") % {"known": known}, permanent=True
    )


def sets_that_need(key: RecoveryKey) -> int:
    """How many complete sets can be read with the identity of `key`."""
    recipients = Set.objects.complete().filter(encrypted=True).values_list("recipients", flat=True)
    return sum(1 for one in recipients.iterator() if key.recipient in one)


def unreadable(key: RecoveryKey) -> str:
    """How many sets the identity of `key` does not open, and which keys open those; "" if it opens all."""
    names = dict(RecoveryKey.objects.values_list("recipient", "name"))
    recipients = Set.objects.complete().filter(encrypted=True).values_list("recipients", flat=True)
    others = [one for one in recipients.iterator() if key.recipient not in one]
    if not others:
        return ""
    needed = Counter(names.get(recipient, recipient) for one in others for recipient in one)
    known = ", ".join(f"{one_line(name)} ({count})" for name, count in sorted(needed.items())) or _("none")
    text = ngettext(
        "%(count)d set that exists already cannot be read with it. Keep what reads it: %(known)s.",
        "%(count)d sets that exist already cannot be read with it. Keep what reads those: %(known)s.",
        len(others),
    )
    return text % {"count": len(others), "known": known}


def only_for(key: RecoveryKey) -> int:
    """How many complete sets can be read with the identity of `key`, and with no other that is active."""
    others = set(
        RecoveryKey.objects.filter(active=True).exclude(pk=key.pk).values_list("recipient", flat=True)
    )
    recipients = Set.objects.complete().filter(encrypted=True).values_list("recipients", flat=True)
    return sum(1 for one in recipients.iterator() if key.recipient in one and not others & set(one))


def retire(name: str, actor: str) -> RecoveryKey:
    """New sets are no longer encrypted to it. Raises OperationFailed for the last key that a person holds."""
    with transaction.atomic():
        key = named(name)
        rest = RecoveryKey.objects.filter(active=True, for_drills=False).exclude(pk=key.pk)
        if key.active and not key.for_drills and not rest.exists():
            raise OperationFailed(
                _("%(name)s is the last recovery key: no encrypted set could be taken any more.")
                % {"name": name},
                _("Make the next one first: manage.py recovery-kit"),
                permanent=True,
            )
        if RecoveryKey.objects.filter(pk=key.pk, active=True).update(active=False):
            record(actor, "backups.key.retired", key, recipient=key.recipient)
    key.active = False
    return key
