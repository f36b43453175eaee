"""checksums.txt: the digests of a set's stored bytes, as `sha256sum -c` reads them (pure)."""

import re
from collections.abc import Mapping

from backups.storage.layout import CHECKSUMS, DAMAGED_HINT
from backups.storage.references import within
from drcenter.errors import OperationFailed

CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._/-]+)")


def checksums_text(digests: Mapping[str, str]) -> str:
    """The text of checksums.txt from {name: SHA-256 of the stored bytes}, as `sha256sum -c` reads it."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    if bad := [line for line in lines if not CHECKSUM_LINE.fullmatch(line.rstrip("\n"))]:
        raise ValueError(f"no line of a checksum file: {bad[0]!r}")
    return "".join(lines)


def parse_checksums(text: str) -> dict[str, str]:
    """{name: SHA-256}. Raises OperationFailed for anything that `checksums_text` does not write."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = CHECKSUM_LINE.fullmatch(line)
        if match is None or match[2] in found or not _stays_inside(within(match[2])):
            raise OperationFailed(f"{CHECKSUMS} is damaged in line {number}.", DAMAGED_HINT, permanent=True)
        found[match[2]] = match[1]
    return found


def _stays_inside(name: str) -> bool:
    return all(segment not in ("", ".", "..") for segment in name.split("/"))
