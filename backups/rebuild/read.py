"""Reads one set from storage, as hostile input: nothing of it is believed but what a trusted key has signed."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import Any

import pyrage
from django.utils.translation import gettext as _

from backups.destinations.base import Destination, NotThere, Stored
from backups.logs.records import KEY
from backups.storage import details, layout, recording
from backups.storage.checksums import parse_checksums
from backups.storage.layout import Manifest
from backups.storage.readback import ReadableCopy, Unreadable
from backups.storage.records import Record, is_record
from backups.storage.references import located
from backups.storage.succession import Link
from backups.storage.trust import Trust
from drcenter.errors import OperationFailed

# As a system's key may be: what is stricter in the database than in storage.
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class Kind(StrEnum):
    """What a folder in storage turned out to be."""

    OURS = "ours"
    # Signed with a key that is not trusted here, or not at all: to be read, never to be touched.
    FOREIGN = "foreign"
    # Of a newer version of the product.
    NEWER = "newer"
    # No manifest: a try that is under way, or was broken off.
    UNFINISHED = "unfinished"
    # It claims to be ours, and is not what was signed.
    REFUSED = "refused"


@dataclass(frozen=True)
class Folder:
    """A set's folder as the destination lists it: {name: object}, the newest version of each.

    `hidden`: names that only the list of versions shows: a delete marker hides them.
    """

    system: str
    identifier: str
    objects: Mapping[str, Stored]
    hidden: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        return f"{self.system}/{self.identifier}/"


@dataclass(frozen=True)
class Reading:
    """A folder, and what was read of it. `content`: the details, where an identity opened them."""

    folder: Folder
    kind: Kind
    manifest: Manifest | None = None
    content: Mapping[str, Any] | None = None
    records: Sequence[tuple[Record, Mapping[str, Any] | None]] = ()
    # Its place in the succession, with the digest of its checksums.txt.
    link: Link | None = None
    # What is wrong with this copy: a part is missing, or has another size.
    damage: str = ""
    # Why it was refused, or what of it could not be read.
    problems: Sequence[str] = ()


def public_keys(text: str) -> list[str]:
    """The public keys in a text: a PEM file, or a whole recovery kit, which indents them. May be none."""
    found = PEM.findall(text)
    return ["".join(f"{line.strip()}\n" for line in one.splitlines()) for one in found]


def folders(place: Destination, foreign: list[str]) -> Iterator[Folder]:
    """Every set's folder of a destination, in the order of keys; how many other keys there are goes to `foreign`.

    Versions are listed, so that a set behind delete markers is found; what is listed in the plain way is what
    restores see.
    """
    listed = _listed(place.list_versions(""), foreign)
    visible = _Visible(place)
    for (system, identifier), group in groupby(listed, key=lambda one: (one[0].system, one[0].identifier)):
        objects: dict[str, Stored] = {}
        for where, stored in group:
            objects.setdefault(where.name, stored)
        hidden = frozenset(objects) - visible.names(f"{system}/{identifier}/")
        yield Folder(system, identifier, objects, hidden)


def _listed(listed: Iterator[Stored], foreign: list[str]) -> Iterator[tuple[layout.Located, Stored]]:
    last = ""
    for stored in listed:
        where = layout.locate(stored.key)
        if where is not None:
            yield where, stored
        elif stored.key != last and not KEY.fullmatch(stored.key):
            foreign.append(stored.key[:200])
        last = stored.key


class _Visible:
    """What the plain list shows, read beside the list of versions: both come in the order of keys."""

    def __init__(self, place: Destination) -> None:
        self._listed = iter(place.list(""))
        self._next: Stored | None = next(self._listed, None)

    def names(self, prefix: str) -> frozenset[str]:
        found = []
        while self._next is not None and (
            self._next.key.startswith(prefix) or self._next.key.encode() < prefix.encode()
        ):
            if self._next.key.startswith(prefix):
                found.append(self._next.key.removeprefix(prefix))
            self._next = next(self._listed, None)
        return frozenset(found)


def read(
    place: Destination, folder: Folder, trust: Trust, identities: Sequence[pyrage.x25519.Identity]
) -> Reading:
    """What the folder holds. Never raises for what is in it; OperationFailed only when the destination fails."""
    folder = _with_manifest(place, folder)
    if layout.MANIFEST not in folder.objects:
        return Reading(folder, Kind.UNFINISHED)
    copy = _Versions(place, folder)
    try:
        manifest = Manifest.from_bytes(copy.content(layout.MANIFEST))
        kind, link = _whose(copy, folder, manifest, trust), _link(copy, manifest)
    except Unreadable:
        raise
    except OperationFailed as error:
        kind = Kind.NEWER if isinstance(error, layout.NewerFormat) else Kind.REFUSED
        return Reading(folder, kind, problems=[error.message])
    damage = _damage(place, folder, manifest)
    if kind is Kind.FOREIGN:
        return Reading(folder, kind, manifest, link=link, damage=damage)
    problems: list[str] = []
    content = _details(copy, manifest, identities, problems)
    told = _records(copy, folder, trust, identities, problems)
    return Reading(folder, kind, manifest, content, told, link, damage, problems)


def _with_manifest(place: Destination, folder: Folder) -> Folder:
    """A listing may lag behind: what it does not show is asked for by name before it is believed to be missing."""
    if layout.MANIFEST in folder.objects:
        return folder
    found = _asked(place, folder.prefix + layout.MANIFEST)
    return replace(folder, objects={**folder.objects, layout.MANIFEST: found}) if found else folder


def _asked(place: Destination, key: str) -> Stored | None:
    try:
        return place.head(key)
    except NotThere:
        return None


def _link(copy: "_Versions", manifest: Manifest) -> Link:
    before = manifest.predecessor
    return Link(
        manifest.identifier, manifest.number, hashlib.sha256(copy.content(layout.CHECKSUMS)).hexdigest(),
        before.set if before else "", before.sha256 if before else "",
    )  # fmt: skip


class _Versions:
    """The small objects of a folder, also those that a delete marker hides."""

    def __init__(self, place: Destination, folder: Folder) -> None:
        self.place, self.folder = place, folder
        self.readable = ReadableCopy(place, folder.prefix)
        self._read: dict[str, bytes] = {}

    def content(self, name: str) -> bytes:
        """Raises OperationFailed when it is not there, or larger than such an object can be."""
        if name not in self._read:
            self._read[name] = self._content(name)
        return self._read[name]

    def _content(self, name: str) -> bytes:
        stored = self.folder.objects.get(name) or _asked(self.place, self.folder.prefix + name)
        if stored is None:
            raise OperationFailed(_("%(name)s is missing.") % {"name": name}, permanent=True)
        if stored.size > layout.LARGEST_MANIFEST:
            raise OperationFailed(
                _("%(name)s is larger than such an object can be.") % {"name": name}, permanent=True
            )
        if name in self.folder.hidden:
            with self.place.open_version(self.folder.prefix + name, stored.version) as source:
                return source.read(layout.LARGEST_MANIFEST)
        return self.readable.content(name)


class _Refused(OperationFailed):
    """It is not what it claims to be."""


def _whose(copy: _Versions, folder: Folder, manifest: Manifest, trust: Trust) -> Kind:
    """The signature covers the checksums, which cover the manifest. Raises OperationFailed where they do not."""
    if (manifest.system, manifest.identifier) != (folder.system, folder.identifier):
        other = f"{manifest.system}/{manifest.identifier}"
        raise _Refused(_("Its manifest is the one of %(set)s: it was swapped.") % {"set": other})
    if not SLUG.fullmatch(manifest.system):
        raise _Refused(_("Its system has a name that no system can have here."))
    checksums, signature = copy.content(layout.CHECKSUMS), copy.content(layout.SIGNATURE)
    digests = parse_checksums(checksums.decode(errors="replace"))
    expected = {part.key: part.stored_sha256 for part in manifest.parts}
    expected[layout.MANIFEST] = hashlib.sha256(copy.content(layout.MANIFEST)).hexdigest()
    if any(digests.get(name) != digest for name, digest in expected.items()):
        raise _Refused(_("Its manifest is not the one that its checksums name."))
    if manifest.signing_key not in trust.keys:
        return Kind.FOREIGN
    if not trust.signed(manifest.signing_key, checksums, signature):
        raise _Refused(_("Its signature is not by the key that it names."))
    return Kind.OURS


def _damage(place: Destination, folder: Folder, manifest: Manifest) -> str:
    """What the listing alone tells: each object there, and as large as it was. Parts of earlier sets are looked up."""
    expected = {part.key: part.stored_size for part in manifest.parts}
    expected[manifest.details.key] = manifest.details.size
    for name, size in expected.items():
        stored = folder.objects.get(name) or _asked(place, located(folder.prefix, name))
        if stored is None:
            return f"{name} is missing."
        if stored.size != size:
            return f"{name}: the stored size is {stored.size}, it was {size}."
    return ""


def _details(
    copy: _Versions,
    manifest: Manifest,
    identities: Sequence[pyrage.x25519.Identity],
    problems: list[str],
) -> Mapping[str, Any] | None:
    if manifest.encrypted and not identities:
        return None
    if manifest.details.key in copy.folder.hidden:
        problems.append(_("Its details are hidden, and were not read."))
        return None
    readable = ReadableCopy(copy.place, copy.folder.prefix, identities if manifest.encrypted else ())
    try:
        return details.read(readable, encrypted=manifest.encrypted, stored_sha256=manifest.details.sha256)
    except OperationFailed as error:
        problems.append(error.message)
        return None


def _records(
    copy: _Versions,
    folder: Folder,
    trust: Trust,
    identities: Sequence[pyrage.x25519.Identity],
    problems: list[str],
) -> list[tuple[Record, Mapping[str, Any] | None]]:
    """In the order of time."""
    found = []
    for name in sorted(filter(is_record, folder.objects)):
        try:
            one = Record.from_bytes(
                copy.content(name), trust.signed, system=folder.system, identifier=folder.identifier
            )
        except OperationFailed as error:
            problems.append(error.message)
            continue
        found.append((one, recording.opened(one, list(identities))))
    return sorted(found, key=lambda one: one[0].at)
