"""The names of a set in storage, and its manifest (pure). docs/set-format.md tells the same to others.

    <system>/<identifier>/parts/<nn>-<source>-<part>.<kind>.zst[.age]
    <system>/<identifier>/details.json.zst[.age]   names of tables, plain digests, the witness
    <system>/<identifier>/RESTORE.md, restore.sh, log.txt
    <system>/<identifier>/checksums.txt, checksums.txt.sig
    <system>/<identifier>/manifest.json            written last: what has none does not exist

Names within a set are relative to its folder, so that a set can be copied anywhere by any tool. A set that needs
earlier ones names their parts as `../<identifier>/parts/…` (backups.storage.references), and has the version 2.
"""

import hashlib
import json
import math
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar

from backups.storage.references import needed, within
from drcenter.errors import OperationFailed

# 1: complete in itself. 2: needs earlier sets; whoever knows only 1 would take it for complete.
VERSION = 2
MANIFEST = "manifest.json"
CHECKSUMS = "checksums.txt"
SIGNATURE = "checksums.txt.sig"
GUIDE = "RESTORE.md"
SCRIPT = "restore.sh"
LOG = "log.txt"
DAMAGED_HINT = "Use another copy of the set, and look at the destination."
# A manifest of a thousand parts has half a MiB; more than this is none.
LARGEST_MANIFEST = 16 << 20

IDENTIFIER = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{8})-a([1-9]\d{0,5})", re.ASCII)
SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
PART = re.compile(r"parts/\d{2,6}-[a-z0-9-]+\.[a-z0-9]+\.zst(\.age)?", re.ASCII)
DETAILS = re.compile(r"details\.json\.zst(\.age)?")
DIGEST = re.compile(r"[0-9a-f]{64}")

Value = TypeVar("Value")


def slug(text: str, longest: int = 40) -> str:
    """`text` in small letters, digits and single dashes, never empty: safe in any store, shell and URL."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    found = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].strip("-")
    return found or f"x{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


# ---------------------------------------------------------------------------- names


@dataclass(frozen=True)
class Identifier:
    """When the attempt began, what makes it unique, and its number."""

    began_at: datetime
    token: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.began_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.token}-a{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "Identifier | None":
        """None for a name that no attempt has."""
        if not (match := IDENTIFIER.fullmatch(text)):
            return None
        try:
            began_at = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(began_at, match[2], int(match[3]))


def new_identifier(now: datetime, attempt: int, mark: str = "") -> str:
    """The folder of a new attempt; no other has the same. Its token begins with `mark` (backups.storage.signing.mark)."""
    return str(Identifier(now, mark + secrets.token_hex(4)[len(mark) :], attempt))


def part_key(order: int, source: str, part: str, suffix: str, *, encrypted: bool) -> str:
    """The name of a part below the set's folder; `order` (from 1) is the order of the restore."""
    kind = re.sub(r"[^a-z0-9]", "", suffix.lower()) or "bin"
    return f"parts/{order:02}-{slug(source)}-{slug(part)}.{kind}.zst{'.age' if encrypted else ''}"


def details_key(*, encrypted: bool) -> str:
    return f"details.json.zst{'.age' if encrypted else ''}"


@dataclass(frozen=True)
class Located:
    """A key, taken apart: `name` is relative to the set's folder."""

    system: str
    identifier: str
    name: str

    @property
    def prefix(self) -> str:
        return f"{self.system}/{self.identifier}/"


def locate(key: str) -> Located | None:
    """What `key` is a part of; None for a foreign file, which is left alone."""
    system, _slash, rest = key.partition("/")
    identifier, _slash, name = rest.partition("/")
    if not name or not SYSTEM.fullmatch(system) or Identifier.parse(identifier) is None:
        return None
    return Located(system, identifier, name)


@dataclass(frozen=True)
class Found:
    """A set's folder in storage. Without `complete` it does not exist, and is swept after a grace time."""

    system: str
    identifier: str
    names: frozenset[str]

    @property
    def prefix(self) -> str:
        return f"{self.system}/{self.identifier}/"

    @property
    def complete(self) -> bool:
        return MANIFEST in self.names


def find_sets(keys: Iterable[str]) -> Iterator[Found]:
    """The sets' folders among `keys`, which come in order as destinations list them; foreign keys are skipped."""
    located = filter(None, map(locate, keys))
    for (system, identifier), group in groupby(located, key=lambda one: (one.system, one.identifier)):
        yield Found(system, identifier, frozenset(one.name for one in group))


# ---------------------------------------------------------------------------- manifest


class NewerFormat(OperationFailed):
    """The set was written by a newer version of the product."""


@dataclass(frozen=True)
class StoredObject:
    """One stored object beside the parts: name, bytes, SHA-256 of them."""

    key: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        _require(bool(DETAILS.fullmatch(self.key)), "details.key")
        _require(self.size >= 0, "details.size")
        _require(bool(DIGEST.fullmatch(self.sha256)), "details.sha256")


@dataclass(frozen=True)
class ManifestPart:
    """What somebody who holds only the store needs to know of one part. Its plain digest is in the details."""

    order: int
    name: str
    key: str
    source: str
    engine: str
    tier: str
    suffix: str
    plain_size: int
    stored_size: int
    stored_sha256: str

    def __post_init__(self) -> None:
        _require(self.order >= 1, "order")
        _require(bool(PART.fullmatch(within(self.key))), "key")
        _require(min(self.plain_size, self.stored_size) >= 0, "size")
        _require(bool(DIGEST.fullmatch(self.stored_sha256)), "stored_sha256")

    @property
    def encrypted(self) -> bool:
        return self.key.endswith(".age")


@dataclass(frozen=True)
class Predecessor:
    """The set of the same system that was made before: its identifier, and the SHA-256 of its checksums.txt."""

    set: str
    sha256: str

    def __post_init__(self) -> None:
        _require(Identifier.parse(self.set) is not None, "predecessor.set")
        _require(bool(DIGEST.fullmatch(self.sha256)), "predecessor.sha256")


@dataclass(frozen=True)
class Manifest:
    """A set, in the clear: what `restore.sh`, and a rebuild of the catalogue, need to begin.

    Names of tables, plain digests, options and findings are not here but in the details, which are
    encrypted. `capped`: the dump lacks something; the details say what. `recipients`: the age keys
    whose identities read the set. `signing_key`: the fingerprint of the key that signed checksums.txt.
    `number` and `predecessor`: the place in the order of the system's sets (succession.py); 0: not known.
    `partial`: how much of the sources is in it ("3 of 40 tables"), "" for all; the names are in the details.
    `spread`: seconds after `moment` by which every source that has one moment had taken it; None: not known.
    `time_zone`: the system's, in which people are told of times. Every time is in UTC. Raises OperationFailed when the values make no set.
    """

    system: str
    system_name: str
    identifier: str
    attempt: int
    plan: str
    reason: str
    started_at: datetime
    moment: datetime
    finished_at: datetime
    product: str
    details: StoredObject
    parts: tuple[ManifestPart, ...]
    recipients: tuple[str, ...] = ()
    capped: bool = False
    signing_key: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    predecessor: Predecessor | None = None
    time_zone: str = "UTC"
    partial: str = ""
    spread: float | None = None

    def __post_init__(self) -> None:
        found = Identifier.parse(self.identifier)
        _require(found is not None and found.attempt == self.attempt, "set")
        _require(bool(SYSTEM.fullmatch(self.system)), "system")
        _require(self.number >= 0, "number")
        _require(0 <= (self.spread or 0) < math.inf, "spread")
        for name in ("started_at", "moment", "finished_at"):
            _require(getattr(self, name).tzinfo is not None, name)
        _require(len({part.order for part in self.parts}) == len(self.parts), "parts: order")
        _require(len({part.key for part in self.parts}) == len(self.parts), "parts: key")
        _require(self.identifier not in self.needs, "needs")
        mixed = {part.encrypted for part in self.parts} | {self.details.key.endswith(".age")}
        _require(mixed == {self.encrypted}, "recipients")

    @property
    def encrypted(self) -> bool:
        return bool(self.recipients)

    @property
    def prefix(self) -> str:
        return f"{self.system}/{self.identifier}/"

    @property
    def needs(self) -> tuple[str, ...]:
        """The identifiers of the earlier sets without which this one does not restore, oldest first."""
        return needed(part.key for part in self.parts)

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same manifest is always the same bytes. Keys sorted, two spaces, one line end."""
        data = {
            "version": 2 if self.needs else 1,
            **({"needs": list(self.needs)} if self.needs else {}),
            "set": self.identifier,
            "encrypted": self.encrypted,
            "details": dict(vars(self.details)),
            "parts": [_part_json(part) for part in sorted(self.parts, key=lambda part: part.order)],
            "recipients": list(self.recipients),
            "tools": dict(self.tools),
            "number": self.number,
            "predecessor": dict(vars(self.predecessor)) if self.predecessor else None,
            "time_zone": self.time_zone,
            **({"partial": self.partial} if self.partial else {}),
            **({"spread": self.spread} if self.spread is not None else {}),
            **{name: getattr(self, name) for name in (*_TEXTS, "attempt", "capped")},
            **{name: _time_text(getattr(self, name)) for name in _TIMES},
        }
        return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """The manifest in `content`. Fields that this version does not know are ignored.

        Raises OperationFailed for a newer format, and for anything that is no manifest.
        """
        data = _object(content)
        _refuse_other_formats(_get(data, "version", int))
        recipients = _texts(_get(data, "recipients", list), "recipients")
        _require(_get(data, "encrypted", bool) is bool(recipients), "encrypted")
        fields: dict[str, Any] = {name: _get(data, name, str) for name in _TEXTS}
        fields |= {name: _time(_get(data, name, str), name) for name in _TIMES}
        return cls(
            identifier=_get(data, "set", str),
            attempt=_get(data, "attempt", int),
            capped=_get(data, "capped", bool),
            details=_details(_get(data, "details", dict)),
            parts=tuple(sorted(map(_part, _get(data, "parts", list)), key=lambda part: part.order)),
            recipients=recipients,
            tools=_tools(_get(data, "tools", dict)),
            **_since_the_first(data),
            **fields,
        )


_TEXTS = ("system", "system_name", "plan", "reason", "product", "signing_key")
_TIMES = ("started_at", "moment", "finished_at")
_PART_TEXTS = ("name", "key", "source", "engine", "tier", "suffix", "stored_sha256")
_PART_NUMBERS = ("order", "plain_size", "stored_size")


def _part_json(part: ManifestPart) -> dict[str, Any]:
    return {**vars(part), "encrypted": part.encrypted}


def _part(data: Any) -> ManifestPart:
    _require(isinstance(data, dict), "parts")
    fields: dict[str, Any] = {name: _get(data, name, str) for name in _PART_TEXTS}
    fields |= {name: _get(data, name, int) for name in _PART_NUMBERS}
    return ManifestPart(**fields)


def _details(data: dict[str, Any]) -> StoredObject:
    return StoredObject(_get(data, "key", str), _get(data, "size", int), _get(data, "sha256", str))


def _since_the_first(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifests of the first sets do not have."""
    kinds = (("number", int), ("partial", str), ("spread", float), ("time_zone", str))
    found: dict[str, Any] = {name: _get(data, name, kind) for name, kind in kinds if name in data}
    if data.get("predecessor") is not None:
        before = _get(data, "predecessor", dict)
        found["predecessor"] = Predecessor(_get(before, "set", str), _get(before, "sha256", str))
    return found


def _tools(data: dict[str, Any]) -> dict[str, str]:
    return dict(zip(data, _texts(list(data.values()), "tools"), strict=True))


def _texts(values: list[Any], name: str) -> tuple[str, ...]:
    _require(all(isinstance(one, str) for one in values), name)
    return tuple(values)


def _refuse_other_formats(version: int) -> None:
    _require(version >= 1, "version")
    if version > VERSION:
        raise NewerFormat(
            f"This set has the format {version}; this version of the product reads up to {VERSION}.",
            "Update the product. The set also restores without it: see RESTORE.md beside it.",
            permanent=True,
        )


def _object(content: bytes) -> dict[str, Any]:
    _require(len(content) <= LARGEST_MANIFEST, "size")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    _require(isinstance(data, dict), "JSON")
    return dict(data)


def _get(data: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    """The field `name`, of exactly that type: True is no number."""
    value = data.get(name)
    if type(value) is not kind:
        raise _damaged(name)
    return value


def _require(good: bool, what: str) -> None:
    if not good:
        raise _damaged(what)


def _damaged(what: str) -> OperationFailed:
    return OperationFailed(f"This is not the manifest of a set ({what}).", DAMAGED_HINT, permanent=True)


def _time_text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _damaged(name) from None
    _require(moment.tzinfo is not None, name)
    return moment.astimezone(UTC)
