"""Which keys a destination takes: the same for all, so that a set can be copied from any to any."""

import unicodedata

from drcenter.errors import OperationFailed

# Names that begin so belong to the destinations themselves: markers and unfinished files.
RESERVED = ".drcenter"
LONGEST = 900
LONGEST_SEGMENT = 200


def checked(key: str) -> str:
    """`key`, if it is segments joined by "/" that mean the same on a disk, in a store and over SFTP.

    Raises OperationFailed for everything that could leave the destination or be read differently:
    an absolute path, "..", ".", an empty segment, a backslash, a control character, a reserved name.
    """
    if fault := _fault(key):
        raise OperationFailed(f"The key {key[:100]!r} is refused: {fault}.", permanent=True)
    return key


def _fault(key: str) -> str:
    if not key:
        return "it is empty"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in key) or "\\" in key:
        return "it holds a control character, a backslash or bytes that are no text"
    if len(key.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    faults = (_segment_fault(segment) for segment in key.split("/"))
    return next(filter(None, faults), "")


def _segment_fault(segment: str) -> str:
    if segment in ("", ".", ".."):
        return 'it is absolute, or holds an empty segment, "." or ".."'
    if segment.startswith(RESERVED):
        return f"names that begin with {RESERVED} belong to the destination"
    if len(segment.encode()) > LONGEST_SEGMENT:
        return f"a segment is longer than {LONGEST_SEGMENT} bytes"
    return ""
