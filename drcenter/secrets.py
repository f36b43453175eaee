"""References to secrets, and the secrets themselves, which never print.

A reference is `env:NAME` or `file:/path`. It is what rows, forms and manifests hold.
It is resolved at the last moment, in the process that needs the value.
"""

import os
import re
from pathlib import Path

from drcenter.errors import OperationFailed

REFERENCE = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$")
REDACTED = "[redacted]"

# Values that were resolved in this process, as `storable` leaves them; `redact` takes them out of any text.
_known: set[str] = set()


class Secret:
    """A value that shows itself only to `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 4:
            _known.add(storable(value))
        # A key of several lines may show up line by line; short ones (a brace) say nothing.
        _known.update(storable(line) for line in value.splitlines() if len(line) >= 12)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("A secret is never pickled.")


def is_reference(text: str) -> bool:
    """True if `text` has the form of a reference; the secret itself need not exist."""
    return bool(REFERENCE.match(text))


def resolve(reference: str) -> Secret:
    """The secret behind `reference`; an empty reference is an empty secret.

    Raises OperationFailed, with the reference but never the value, when it leads nowhere.
    """
    if not reference:
        return Secret("")
    if not is_reference(reference):
        raise OperationFailed(
            "A secret has to be a reference, not a value.",
            "Write env:NAME or file:/path, and put the value there.",
            permanent=True,
        )
    scheme, _, place = reference.partition(":")
    return _from_environment(place) if scheme == "env" else _from_file(Path(place))


def _from_environment(name: str) -> Secret:
    if name not in os.environ:
        raise OperationFailed(
            f"The environment variable {name} is not set.",
            "Set it for the workers and the panel, then start them again.",
            permanent=True,
        )
    return Secret(os.environ[name])


def _from_file(path: Path) -> Secret:
    try:
        return Secret(path.read_text().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise OperationFailed(
            f"The secret file {path} cannot be read: {reason}.",
            "Check that it exists and that the user of the workers may read it.",
            permanent=True,
        ) from None


def storable(text: str) -> str:
    r"""`text` as every database can hold it, also within JSON.

    The name of a file need not be UTF-8: Python then has lone surrogates, which no database takes (`\udcff` is
    written out). PostgreSQL refuses NUL as well.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def redact(text: str) -> str:
    """`text` without any secret that this process has resolved, without URL passwords, and `storable`."""
    text = storable(text)
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    return re.sub(r"(://[^/\s:@]*:)[^@\s/]+@", rf"\1{REDACTED}@", text)
