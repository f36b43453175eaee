"""Checks what stands beside the parts of a set: without manifest and details the parts are only bytes."""

import hashlib
from collections.abc import Callable

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.destinations.base import NotThere
from backups.models import Set
from backups.pipe.decode import BLOCK, Damaged
from backups.storage import layout, publish, signing
from backups.storage.checksums import parse_checksums
from backups.storage.layout import Manifest
from backups.storage.readback import ReadableCopy
from backups.storage.references import located
from backups.takes import chains
from drcenter.errors import OperationFailed

# What no restore by this product needs: people, and a restore without it, do.
BYSTANDERS = frozenset({layout.SCRIPT, layout.GUIDE, layout.LOG})
# Takes the name of one of them that is damaged or missing, instead of Damaged; perhaps twice.
Tolerate = Callable[[str], None]
SPOILED = gettext_lazy(
    "The data of this copy are not affected. Do not run its restore.sh, and do not follow its RESTORE.md: use those of"
    " another copy, or have them written again, on the page of the copy or by: manage.py backup mend SET."
)


def check_there(copy: ReadableCopy, one: Set, tolerate: Tolerate | None = None) -> None:
    """Raises Damaged, which names what is missing, or details of another size. Reads nothing."""
    details = layout.details_key(encrypted=one.encrypted)
    names = (
        layout.MANIFEST, layout.CHECKSUMS, layout.SIGNATURE, layout.SCRIPT, layout.GUIDE, layout.LOG, details,
    )  # fmt: skip
    for name in names:
        try:
            found = copy.destination.head(copy.prefix + name)
        except NotThere:
            if tolerate is not None and name in BYSTANDERS:
                tolerate(name)
                continue
            raise Damaged(f"{name} is missing: without it this copy is no complete set.") from None
        if name == details and one.details_size not in {None, found.size}:
            raise Damaged(f"{name}: the stored size is {found.size}, it was {one.details_size}.")
    for name, size in chains.details_needed(one).items():
        with chains.naming_link(name):
            found = copy.destination.head(located(copy.prefix, name))
            if size not in {None, found.size}:
                raise Damaged(f"{name}: the stored size is {found.size}, it was {size}.")


def known(told: object) -> list[str]:
    """Of what a record in storage calls spoiled, the names that can be."""
    return (
        sorted(BYSTANDERS & {one for one in told if isinstance(one, str)}) if isinstance(told, list) else []
    )


def told(name: str) -> str:
    """The sentence of a restore about one of BYSTANDERS."""
    return _("%(name)s beside the parts is damaged or missing; the restore does not need it.") % {
        "name": name
    }


def check_digests(copy: ReadableCopy, one: Set, tolerate: Tolerate | None = None) -> str:
    """The digest that the details of the set have to have. Raises Damaged unless everything beside the parts has
    its digest and its signature; with `tolerate`, only for what a restore needs."""
    digests, manifest = published(copy, one)
    for name, digest in digests.items():
        if name.startswith(("parts/", "../")) or _digest_or_none(copy, name) == digest:
            continue
        if tolerate is None or name not in BYSTANDERS:
            raise Damaged(f"{name}: its digest is not the one in {layout.CHECKSUMS}.")
        tolerate(name)
    if wrong := [part.key for part in manifest.parts if digests.get(part.key) != part.stored_sha256]:
        raise Damaged(f"{layout.MANIFEST} and {layout.CHECKSUMS} say different things of {wrong[0]}.")
    name = layout.details_key(encrypted=one.encrypted)
    expected = one.details_sha256 or digests.get(name, "")
    if not expected or digests.get(name) != expected:
        raise Damaged(f"{name}: its digest in {layout.CHECKSUMS} is not the one that was published.")
    return expected


def published(copy: ReadableCopy, one: Set) -> tuple[dict[str, str], Manifest]:
    """The digests of the objects as they were published and signed, and the manifest. Raises Damaged.

    What is trusted is the row: with which key the set was signed is not for the set in the store to say. Of a row
    that knows no key the signature has to be ours.
    """
    checksums = copy.content(layout.CHECKSUMS)
    if one.checksums_sha256 and hashlib.sha256(checksums).hexdigest() != one.checksums_sha256:
        raise Damaged(
            f"{layout.CHECKSUMS} is not the one that was published: the copy was changed, or put back."
        )
    digests, manifest = _parsed(checksums), _manifest(copy)
    if (manifest.system, manifest.identifier) != (one.system.slug, one.identifier):
        raise Damaged(f"{layout.MANIFEST} is that of another set, {manifest.system}/{manifest.identifier}.")
    _check_signature(copy, checksums, manifest.signing_key, one.signing_key)
    return digests, manifest


def _check_signature(copy: ReadableCopy, checksums: bytes, claimed: str, known: str) -> None:
    """With a key that this installation does not have any more the signature cannot be checked; the row's digests
    of the parts and the details still are."""
    key = publish.signing_key()
    known = known or key.fingerprint
    if claimed != known:
        raise Damaged(f"{layout.MANIFEST} names another signing key than the one that signed the set.")
    signature = copy.content(layout.SIGNATURE)
    if known == key.fingerprint and not signing.verify(key.public_pem, checksums, signature):
        raise Damaged(f"{layout.SIGNATURE} is not the signature of {layout.CHECKSUMS}.")


def _parsed(checksums: bytes) -> dict[str, str]:
    try:
        return parse_checksums(checksums.decode())
    except (OperationFailed, UnicodeDecodeError) as error:
        raise Damaged(f"{layout.CHECKSUMS} cannot be read: {error}") from error


def _manifest(copy: ReadableCopy) -> Manifest:
    try:
        return Manifest.from_bytes(copy.content(layout.MANIFEST))
    except OperationFailed as error:
        raise Damaged(f"{layout.MANIFEST}: {error.message}") from error


def _digest_or_none(copy: ReadableCopy, name: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with copy.stored(name) as source:
            while block := source.read(BLOCK):
                digest.update(block)
    except NotThere:
        return None
    return digest.hexdigest()
