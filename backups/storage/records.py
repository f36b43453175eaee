"""What is learned of a set after its manifest was written, as small signed objects beside it (pure).

    <system>/<identifier>/records/<time>-<token>.json

A record tells how the set and this copy stood after an act: the take itself, a verification. They are only ever
added. What names tables or people is in `private`, which is encrypted as the set's details are. docs/set-format.md
tells the same to others.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backups.storage.envelope import closed, opened
from drcenter.errors import OperationFailed

VERSION = 1
FOLDER = "records/"
NAME = re.compile(r"records/\d{8}T\d{6}\d{6}Z-[0-9a-f]{8}\.json", re.ASCII)
# A record holds at most some hundred differences.
LARGEST = 4 << 20


@dataclass(frozen=True)
class Record:
    """`public` and `private` hold values for JSON, by "set", "copy" and, for a verification, "verification"."""

    system: str
    identifier: str
    destination: str
    at: datetime
    signing_key: str
    public: Mapping[str, Any]
    # The text of an age file (armored), or the values themselves where the set is not encrypted.
    private: str | Mapping[str, Any]

    @property
    def name(self) -> str:
        """A name in the set's folder that no other record has; in the order of time."""
        return f"{FOLDER}{self.at.astimezone(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}.json"

    def to_bytes(self, sign: Callable[[bytes], bytes]) -> bytes:
        return closed(
            {
                "version": VERSION,
                "system": self.system,
                "set": self.identifier,
                "destination": self.destination,
                "at": self.at.astimezone(UTC).isoformat(),
                "signing_key": self.signing_key,
                "public": self.public,
                "private": self.private,
            },
            sign,
        )

    @classmethod
    def from_bytes(
        cls, content: bytes, verify: Callable[[str, bytes, bytes], bool], *, system: str, identifier: str
    ) -> "Record":
        """The record of that set in `content`. `verify(fingerprint, body, signature)` says whether it is trusted.

        Raises OperationFailed for everything else: another set's, one that was changed, a newer version.
        """
        try:
            data, body, signature = opened(content, LARGEST)
            at = datetime.fromisoformat(data["at"])
            found = cls(
                data["system"], data["set"], data["destination"], at, data["signing_key"],
                data["public"], data["private"],
            )  # fmt: skip
            version = int(data["version"])
        except (ValueError, TypeError, KeyError):
            raise _refused("it cannot be read") from None
        if version > VERSION:
            raise _refused("it was written by a newer DR Center")
        if (
            at.tzinfo is None
            or not isinstance(found.public, dict)
            or not isinstance(found.private, str | dict)
        ):
            raise _refused("it cannot be read")
        if (found.system, found.identifier) != (system, identifier):
            raise _refused("it belongs to another set")
        if not isinstance(found.signing_key, str) or not verify(found.signing_key, body, signature):
            raise _refused("its signature is not by a key that is trusted here")
        return found


def is_record(name: str) -> bool:
    """Whether an object of a set's folder is one."""
    return NAME.fullmatch(name) is not None


def _refused(why: str) -> OperationFailed:
    return OperationFailed(f"A record is left out: {why}.", permanent=True)
