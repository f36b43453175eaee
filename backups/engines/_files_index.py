"""What the next increment of a tree needs to know of the set before it (pure).

For each path of the set its state, 16 bytes that are others once the file was changed (`_files_tree.signature`).
UNKNOWN is never the state of a path: what was stored in doubt, or was changed so shortly before that one more
change would show the same time, is stored again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from drcenter.errors import OperationFailed

VERSION = 1
STATE = 16
UNKNOWN = bytes(STATE)


@dataclass(frozen=True)
class Index:
    """`tree`: which directory was looked at, with which options. `at`: nanoseconds since 1970, when that began."""

    tree: str
    at: int
    states: Mapping[bytes, bytes]

    def to_bytes(self) -> bytes:
        """The digest of all that follows; a line of JSON; the names, and the states, in two columns."""
        names = b"\0".join(self.states)
        head = {
            "version": VERSION, "tree": self.tree, "at": self.at, "paths": len(self.states), "names": len(names),
        }  # fmt: skip
        rest = b"".join((json.dumps(head).encode(), b"\n", names, *self.states.values()))
        return sha256(rest).digest() + rest

    @classmethod
    def from_bytes(cls, data: bytes) -> "Index":
        """Raises OperationFailed for anything that `to_bytes` has not written, or that was changed since."""
        good, (head, _line, body) = data[:32] == sha256(data[32:]).digest(), data[32:].partition(b"\n")
        try:
            known = json.loads(head)
            count, names = int(known["paths"]), int(known["names"])
            good = good and known["version"] == VERSION and len(body) == names + count * STATE
            tree, at = str(known["tree"]), int(known["at"])
        except (ValueError, TypeError, KeyError):
            good = False
        if not good:
            raise OperationFailed("The index of the last set is damaged, or of another version.")
        states = (body[place : place + STATE] for place in range(names, len(body), STATE))
        return cls(tree, at, dict(zip(body[:names].split(b"\0"), states, strict=True)) if count else {})
