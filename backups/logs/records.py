"""The names of an archived log in storage, and the small signed record beside each segment (pure).

    <system>/logs/<source>/<incarnation>/<number>-<log>-<begin>-<end>.zst[.age]   the bytes
    <system>/logs/<source>/<incarnation>/<number>-<log>-<begin>-<end>.json        the record, written after them

What has no record does not exist. docs/log-streams.md tells the same to others.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backups.logs.chain import Mark, Position, Segment
from backups.storage.envelope import closed, opened
from drcenter.errors import OperationFailed

VERSION = 1
FOLDER = "logs"
# A mark a second, for some minutes at most, and the rest: far below.
LARGEST = 4 << 20
NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
KEY = re.compile(
    rf"(?P<system>{NAME})/logs/(?P<source>{NAME})/(?P<incarnation>{NAME})/"
    r"\d{12}-[A-Za-z0-9._-]{1,150}-\d{1,19}-\d{1,19}\.(?P<kind>zst|zst\.age|json)",
    re.ASCII,
)


@dataclass(frozen=True)
class Record:
    """What a rebuilt catalogue knows of a segment, and of the stream that it belongs to.

    `recipients`: the age keys whose identities read it. `reason`: why its incarnation began. `private` holds the
    digest of the plain bytes ("plain_blake3"): as the text of an age file, or in the clear where nothing is encrypted.
    """

    system: str
    source: str
    engine: str
    segment: Segment
    at: datetime
    recipients: tuple[str, ...]
    reason: str
    signing_key: str
    private: str | Mapping[str, Any]

    def to_bytes(self, sign: Callable[[bytes], bytes]) -> bytes:
        one = self.segment
        numbers = {name: getattr(one, name) for name in (*_NUMBERS, *_TEXTS)}
        return closed(
            {
                "version": VERSION, "system": self.system, "source": self.source, "engine": self.engine,
                "at": self.at.astimezone(UTC).isoformat(), "recipients": list(self.recipients), "reason": self.reason,
                "signing_key": self.signing_key, "private": self.private, "final": one.final,
                "marks": written_marks(one.marks), "bounds": dict(one.bounds), **numbers,
            },
            sign,
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, content: bytes, verify: Callable[[str, bytes, bytes], bool], *, key: str) -> "Record":
        """The record in `content`, which lies at `key`. `verify(fingerprint, text, signature)`: whether it is trusted.

        Raises OperationFailed for everything else: of another segment, changed, of a newer version.
        """
        try:
            data, body, signature = opened(content, LARGEST)
            found = _parsed(data)
            version = int(data["version"])
        except (ValueError, TypeError, KeyError, AttributeError):
            raise _refused("it cannot be read") from None
        if version > VERSION:
            raise _refused("it was written by a newer DR Center")
        if record_key(found.segment.key) != key or not KEY.fullmatch(found.segment.key):
            raise _refused("it belongs to another segment")
        if not found.segment.key.startswith(prefix(found.system, found.source)):
            raise _refused("it belongs to another stream")
        if not verify(found.signing_key, body, signature):
            raise _refused("its signature is not by a key that is trusted here")
        return found


_NUMBERS = ("number", "last", "begin", "end", "stored_size")
_TEXTS = ("incarnation", "log", "previous", "digest", "stands_for", "key")


def _parsed(data: Mapping[str, Any]) -> Record:
    numbers = {name: _exactly(data[name], int) for name in _NUMBERS}
    texts = {name: _exactly(data[name], str) for name in _TEXTS}
    bounds = {_exactly(name, str): _exactly(value, str) for name, value in dict(data["bounds"]).items()}
    segment = Segment(
        final=_exactly(data["final"], bool), marks=tuple(read_marks(data["marks"])), bounds=bounds, **numbers, **texts
    )  # fmt: skip
    at = datetime.fromisoformat(data["at"])
    private = data["private"]
    if at.tzinfo is None or not isinstance(private, str | dict):
        raise ValueError("at, private")
    return Record(
        _exactly(data["system"], str), _exactly(data["source"], str), _exactly(data["engine"], str), segment, at,
        tuple(_exactly(one, str) for one in data["recipients"]), _exactly(data["reason"], str),
        _exactly(data["signing_key"], str), private,
    )  # fmt: skip


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not of the type {kind.__name__}")
    return value


def _refused(why: str) -> OperationFailed:
    return OperationFailed(f"The record of a log segment is left out: {why}.", permanent=True)


# ---------------------------------------------------------------------------- names


def prefix(system: str, source: str = "") -> str:
    """The folder of a system's archived logs, or of one source's."""
    return f"{system}/{FOLDER}/{source}/" if source else f"{system}/{FOLDER}/"


def segment_key(system: str, source: str, one: Segment, *, encrypted: bool) -> str:
    """The name of a segment; what of a log file's name is no letter, digit, dot or dash becomes a dash."""
    log = re.sub(r"[^A-Za-z0-9._-]", "-", one.log)[:150]
    suffix = ".zst.age" if encrypted else ".zst"
    return f"{prefix(system, source)}{one.incarnation}/{one.number:012}-{log}-{one.begin}-{one.end}{suffix}"


def record_key(key: str) -> str:
    """The name of the record beside the segment `key`."""
    return key.removesuffix(".age").removesuffix(".zst") + ".json"


def is_record(key: str) -> bool:
    match = KEY.fullmatch(key)
    return match is not None and match["kind"] == "json"


# ---------------------------------------------------------------------------- marks


def written_marks(marks: "tuple[Mark, ...] | list[Mark]") -> list[list[Any]]:
    """[[at, log, offset, until]], times in ISO 8601 and UTC: as rows and records have them."""
    return [
        [one.at.astimezone(UTC).isoformat(), one.position.log, one.position.offset, one.until.astimezone(UTC).isoformat()]
        for one in marks
    ]  # fmt: skip


def read_marks(values: list[list[Any]]) -> list[Mark]:
    """Raises ValueError or TypeError for anything else, times without a zone among it."""
    found = [
        Mark(datetime.fromisoformat(at), Position(_exactly(log, str), _exactly(offset, int)), datetime.fromisoformat(until))
        for at, log, offset, until in values
    ]  # fmt: skip
    if any(one.at.tzinfo is None or one.until.tzinfo is None for one in found):
        raise ValueError("a time without a zone")
    return found
