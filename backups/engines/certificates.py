"""Certificates: a directory of keys and certificates, stored like any files, with the day on which each expires."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cryptography import x509
from django import forms
from django.utils.translation import gettext_lazy as _

from backups.engines import files
from backups.engines._files_tree import Tree
from backups.engines.base import Finding, Inspection

# A file of certificates is small; a chain has some KiB.
LARGEST = 1 << 20
ENDINGS = (b".pem", b".crt", b".cer", b".der")
NAMED = 10


class Options(files.Options):
    warn_days = forms.IntegerField(
        label=_("Warn before it expires, in days"), initial=21, min_value=0, max_value=3650,
        help_text=_("Of the certificates in use: those that a later one with the same names replaces are left out."),
    )  # fmt: skip


class Plugin(files.Plugin):
    label = cast(str, _("Certificates"))
    Options = Options

    def inspect(self) -> Inspection:
        found = super().inspect()
        known = sorted(newest(certificates(self._tree)), key=lambda one: one[1])
        facts = {
            **found.facts,
            "certificates": "; ".join(f"{name}: {until:%Y-%m-%d}" for name, until in known[:NAMED]),
        }
        limit = timedelta(days=int(self.options["warn_days"] or 0))
        return Inspection(found.size, facts, [*found.findings, *expiring(known, limit, datetime.now(UTC))])


def certificates(tree: Tree) -> Iterator[tuple[str, datetime]]:
    """(names, the moment until which it holds) of every certificate below the tree; of a chain, its first.

    What is no certificate, or cannot be read, is skipped: the files themselves are stored all the same.
    """
    for entry in tree.walk():
        plain = stat.S_ISREG(entry.status.st_mode) and not entry.problem
        if plain and entry.status.st_size <= LARGEST and entry.path.lower().endswith(ENDINGS):
            found = _parsed(tree.place(entry.path))
            if found is not None:
                yield _names(found), found.not_valid_after_utc


def newest(found: Iterator[tuple[str, datetime]]) -> list[tuple[str, datetime]]:
    """One for each set of names: the archive of Let's Encrypt keeps all that were ever issued."""
    latest: dict[str, datetime] = {}
    for names, until in found:
        latest[names] = max(until, latest.get(names, until))
    return list(latest.items())


def expiring(known: list[tuple[str, datetime]], limit: timedelta, now: datetime) -> Iterator[Finding]:
    """A finding for each that has expired, or soon will. It is no fault of the backup: it caps nothing."""
    for names, until in known:
        if until - now <= limit:
            tense = "expired" if until <= now else "expires"
            yield Finding(
                f"The certificate of {names} {tense} on {until:%Y-%m-%d}.",
                "Renew it: certbot renew, or its issuer.",
            )


def _parsed(place: bytes) -> x509.Certificate | None:
    try:
        # A name may have become a pipe since it was listed.
        number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(number, "rb") as file:
            content = file.read(LARGEST)
        if b"-----BEGIN CERTIFICATE-----" in content:
            return x509.load_pem_x509_certificate(content[content.index(b"-----BEGIN CERTIFICATE-----") :])
        return None if b"-----BEGIN" in content else x509.load_der_x509_certificate(content)
    except (OSError, ValueError):
        return None


def _names(certificate: x509.Certificate) -> str:
    """Its DNS names, or its subject where it has none; as text that a terminal can show."""
    text: Any
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        text = ", ".join(alternative.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        text = ""
    text = text or certificate.subject.rfc4514_string() or f"number {certificate.serial_number:x}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
