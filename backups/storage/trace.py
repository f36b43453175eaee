"""Traces the succession of a system's sets at a destination: was something put back, taken out, made anew?

Only small objects are read: of each set its manifest, checksums.txt and the signature.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.destinations.base import NotThere
from backups.models import Copy, Destination, Set
from backups.pipe.decode import Damaged
from backups.storage import layout, succession
from backups.storage.checksums import parse_checksums
from backups.storage.layout import Manifest
from backups.storage.readback import ReadableCopy
from backups.storage.succession import Break, Kind, Link
from backups.storage.trust import Trust, trusted
from drcenter.errors import OperationFailed
from drcenter.systems.models import System

STAYS = {Copy.State.COMPLETE, Copy.State.DAMAGED}


@dataclass
class Traced:
    """`alarming` sentences ask for a person; `remarks` may be explained by retention."""

    found: int = 0
    newest: int = 0
    alarming: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Catalogue:
    """What the catalogue has of a system at a destination, now. `sets`: those that have to be there, by identifier;
    `moving`: identifiers of those that are being written or removed, and of other DR Centers."""

    sets: Mapping[str, Set]
    moving: frozenset[str]

    @classmethod
    def of(cls, system: System, destination: Destination) -> "Catalogue":
        copies = Copy.objects.filter(set__system=system, destination=destination).select_related("set")
        there, moving = {}, set()
        for copy in copies:
            if copy.set.foreign or copy.state not in {*STAYS, Copy.State.REMOVED}:
                moving.add(copy.set.identifier)
            elif copy.state in STAYS and copy.set.state == Set.State.COMPLETE:
                there[copy.set.identifier] = copy.set
        return cls(there, frozenset(moving))


def trace(system: System, destination: Destination, newest: int | None = None) -> Traced:
    """What the store tells of the system's sets, or of the `newest` ones, compared with the catalogue.

    Sets that come or go meanwhile are no alarm: the catalogue is asked before and after. Raises OperationFailed when
    the store does not answer.
    """
    before = Catalogue.of(system, destination)
    read = _links(system, destination, newest)
    after = Catalogue.of(system, destination)
    moving = before.moving | after.moving | (before.sets.keys() ^ after.sets.keys())
    links = [link for link in read.values() if isinstance(link, Link)]
    known = {name: row for name, row in after.sets.items() if name not in moving}
    if newest is not None and len(read) == newest:
        lowest = min((link.number for link in links), default=0)
        known = {name: row for name, row in known.items() if (row.number or 0) >= lowest}
    traced = Traced(len(links), max((link.number for link in links), default=0))
    traced.alarming += [f"{system.slug}/{name}: {link}" for name, link in read.items()
                        if isinstance(link, str) and name not in moving]  # fmt: skip
    _tell_breaks(traced, system, [link for link in links if link.identifier not in moving], known)
    traced.alarming += [_put_back(system, link.identifier) for link in links
                        if link.identifier not in known and link.identifier not in moving]  # fmt: skip
    traced.alarming += [
        _gone(system, name)
        for name in known
        if name not in read and traced.newest > (known[name].number or 0)
    ]
    return traced


def _tell_breaks(traced: Traced, system: System, links: list[Link], known: Mapping[str, Set]) -> None:
    """Numbers that are not there are no news where the catalogue has all of them: removed, failed, elsewhere."""
    numbers = set(Set.objects.filter(system=system).exclude(number=None).values_list("number", flat=True))
    for one in succession.breaks(links, [row.link for row in known.values()]):
        if one.kind is not Kind.MISSING:
            traced.alarming.append(sentence(one))
        elif not numbers.issuperset(range(one.numbers[0], one.numbers[1] + 1)):
            traced.remarks.append(sentence(one))


def _put_back(system: System, identifier: str) -> str:
    return _(
        "%(set)s is in the store, and the catalogue does not have it there: it was put back after it had been"
        " removed, or is of another DR Center."
    ) % {"set": f"{system.slug}/{identifier}"}


def _gone(system: System, identifier: str) -> str:
    return _("%(set)s should be there, and is not: somebody else removed it.") % {
        "set": f"{system.slug}/{identifier}"
    }


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


def _links(system: System, row: Destination, newest: int | None) -> dict[str, Link | str]:
    """{identifier: its link, or why it has none} of each set that is complete there."""
    plugin, trust = row.build(), trusted()
    keys = (stored.key for stored in plugin.list(f"{system.slug}/"))
    complete = sorted(
        found.identifier for found in layout.find_sets(keys) if found.complete and found.system == system.slug
    )
    read: dict[str, Link | str] = {}
    for identifier in complete[-newest:] if newest else complete:
        try:
            read[identifier] = _link(ReadableCopy(plugin, f"{system.slug}/{identifier}/"), identifier, trust)
        except NotThere as error:
            read[identifier] = error.message
        except (Damaged, UnicodeDecodeError) as error:
            read[identifier] = str(error)
    return read


def _link(copy: ReadableCopy, identifier: str, trust: Trust) -> Link | str:
    checksums, content = copy.content(layout.CHECKSUMS), copy.content(layout.MANIFEST)
    try:
        manifest, digests = Manifest.from_bytes(content), parse_checksums(checksums.decode())
    except OperationFailed as error:
        return error.message
    if not trust.signed(manifest.signing_key, checksums, copy.content(layout.SIGNATURE)):
        return _("its signature is not of our key: it is not believed.")
    if digests.get(layout.MANIFEST) != hashlib.sha256(content).hexdigest():
        return _("its manifest was changed: checksums.txt has another digest.")
    if manifest.identifier != identifier:
        return _("the set %(other)s lies in its folder.") % {"other": manifest.identifier}
    before = manifest.predecessor
    return Link(
        identifier, manifest.number, hashlib.sha256(checksums).hexdigest(),
        before.set if before else "", before.sha256 if before else "",
    )  # fmt: skip
