"""Traces the succession of a system's sets at a destination: was something put back, taken out, made anew?

Only small objects are read: of each set its manifest, checksums.txt and the signature.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups import layout, succession
from backups.checksums import parse_checksums
from backups.layout import Manifest
from backups.models import Copy, Destination, Set
from backups.readback import ReadableCopy
from backups.succession import Break, Kind, Link
from backups.trust import Trust, trusted
from drcenter.errors import OperationFailed
from drcenter.systems.models import System


@dataclass
class Traced:
    """`alarming` sentences ask for a person; `remarks` may be explained by retention."""

    found: int = 0
    newest: int = 0
    alarming: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def trace(system: System, destination: Destination) -> Traced:
    """What the store tells of the system's sets, compared with the catalogue. Raises OperationFailed when the
    store does not answer."""
    traced, links = Traced(), []
    for identifier, link in _links(system, destination):
        if isinstance(link, Link):
            links.append(link)
        else:
            traced.alarming.append(f"{system.slug}/{identifier}: {link}")
    known = _known(system, destination)
    traced.found, traced.newest = len(links), max((link.number for link in links), default=0)
    for one in succession.breaks(links, [row.link for row in known.values()]):
        (traced.remarks if one.kind is Kind.MISSING else traced.alarming).append(sentence(one))
    for link in links:
        if link.identifier not in known:
            traced.alarming.append(
                _(
                    "%(set)s is in the store, and the catalogue does not have it there: it was put back after it had been"
                    " removed, or is of another DR Center."
                )
                % {"set": f"{system.slug}/{link.identifier}"}
            )
    return traced


def sentence(one: Break) -> str:
    """What a person should know of a break in the succession."""
    names, (first, last) = ", ".join(one.identifiers), one.numbers
    match one.kind:
        case Kind.FORKED:
            text = _(
                "Two sets have the number %(first)d: %(names)s. Two DR Centers write, or one was put back to an older state."
            )
        case Kind.CHANGED:
            text = _(
                "%(names)s: the first of these is not the set that was published. Do not restore from it."
            )
        case Kind.MISSING:
            text = ngettext(
                "Number %(first)d is not there, between %(names)s: removed by retention, failed, or removed by somebody else.",
                "Numbers %(first)d to %(last)d are not there, between %(names)s: removed by retention, failed, or removed by"
                " somebody else.",
                last - first + 1,
            )
        case Kind.OLDER:
            text = _(
                "The catalogue knows newer sets that should be there: %(names)s. The store was put back to an older state, or"
                " they were removed."
            )
    return text % {"names": names, "first": first, "last": last}


def _known(system: System, destination: Destination) -> dict[str, Set]:
    copies = Copy.objects.filter(destination=destination, state__in=[Copy.State.COMPLETE, Copy.State.DAMAGED])
    rows = Set.objects.complete().filter(system=system, copies__in=copies)
    return {row.identifier: row for row in rows}


def _links(system: System, row: Destination) -> Iterator[tuple[str, Link | str]]:
    """(identifier, its link or why it has none) of each set that is complete there."""
    plugin, trust = row.build(), trusted()
    keys = (stored.key for stored in plugin.list(f"{system.slug}/"))
    for found in layout.find_sets(keys):
        if found.complete and found.system == system.slug:
            try:
                yield found.identifier, _link(ReadableCopy(plugin, found.prefix), found.identifier, trust)
            except (OperationFailed, UnicodeDecodeError) as error:
                yield found.identifier, str(getattr(error, "message", error))


def _link(copy: ReadableCopy, identifier: str, trust: Trust) -> Link | str:
    checksums, content = copy.content(layout.CHECKSUMS), copy.content(layout.MANIFEST)
    signature = copy.content(layout.SIGNATURE)
    if not any(trust.signed(key, checksums, signature) for key in trust.keys):
        return _("its signature is not of our key: it is not believed.")
    if parse_checksums(checksums.decode()).get(layout.MANIFEST) != hashlib.sha256(content).hexdigest():
        return _("its manifest was changed: checksums.txt has another digest.")
    manifest = Manifest.from_bytes(content)
    if manifest.identifier != identifier:
        return _("the set %(other)s lies in its folder.") % {"other": manifest.identifier}
    before = manifest.predecessor
    return Link(
        identifier, manifest.number, hashlib.sha256(checksums).hexdigest(),
        before.set if before else "", before.sha256 if before else "",
    )  # fmt: skip
