"""Digests of the plain bytes: one of all of them, and one for each named section (pure).

A section is what begins at a line that the marker matches: the data of one table. The digest of a section
(XXH3, 128 bits) names what differs between two dumps; it decides nothing, so it need not resist an attacker.
"""

import re
from collections.abc import Iterator

import xxhash
from blake3 import blake3

# A longer line is data, whatever it looks like: so every cut of the bytes into blocks gives the same sections.
LONG_ENOUGH = 12
LONGEST_MARKER = 1024
# The plain text that a pattern begins with; a backslash may stand before a character that means itself.
PLAIN = re.compile(rb"(?:[^\\.^$*+?{}\[\]|()]|\\[^A-Za-z0-9])*")


class Sections:
    """Feed it blocks; ask for the digests at the end. The digests do not depend on how the bytes were cut.

    Both patterns are matched at the start of a line, within the line. `marker` names what begins there by its
    first group; `volatile` matches lines that are left out of the sections, with their line break. Lines are
    found by the plain text that a pattern begins with ("-- Data for Name: "): the longer, the quicker. A volatile pattern without alternatives may begin with less, if it holds
    a plain word of four letters or more: blocks without the word are not searched.
    """

    def __init__(self, marker: bytes | None = None, volatile: bytes | None = None) -> None:
        self.size = 0
        self.digests: dict[str, str] = {}
        self._whole = blake3()
        self._marker = re.compile(marker, re.MULTILINE) if marker else None
        self._volatile = re.compile(volatile, re.MULTILINE) if volatile else None
        # What a candidate begins with, and a word without which a block holds none.
        self._starts: dict[bytes, bytes] = {}
        if volatile:
            self._starts[_line_start(volatile)] = _word(volatile)
        if marker:
            self._starts[_line_start(marker)] = b""
        self._name = ""
        self._section = xxhash.xxh3_128()
        self._held = b"\n"
        self._before_first = 1  # The line break before the first line, which no dump has.

    def update(self, block: bytes | bytearray) -> None:
        self.size += len(block)
        self._whole.update(block)
        if self._marker is not None and block:
            self._cut(self._held + block if self._held else block)

    @property
    def blake3(self) -> str:
        """Of all the plain bytes: a third of the CPU seconds of SHA-256 (docs/benchmarks.md), and as strong."""
        return self._whole.hexdigest()

    def finish(self) -> dict[str, str]:
        """{section: digest}; what comes before the first marker is the section ""."""
        if self._marker is not None:
            rest, self._held = self._held[self._before_first :], b""
            if not (self._volatile is not None and self._volatile.match(rest.removeprefix(b"\n"))):
                self._section.update(rest)
            elif rest.startswith(b"\n"):
                self._section.update(b"\n")
            self._end_section("")
        return self.digests

    def _cut(self, block: bytes | bytearray) -> None:
        start, end, view = self._before_first, self._hold_from(block), memoryview(block)
        for position in self._candidates(block, end):
            line_end = block.find(b"\n", position + 1, position + 1 + LONGEST_MARKER)
            if line_end < 0:
                continue
            line = block[position + 1 : line_end]
            if self._volatile is not None and self._volatile.match(line):
                self._section.update(view[start : position + 1])
                start = line_end + 1
            elif self._marker is not None and (found := self._marker.match(line)):
                self._section.update(view[start : position + 1])
                self._end_section(found.group(1).decode(errors="replace"))
                start = position + 1
        self._section.update(view[start:end])
        # A line break that counts for nothing stays so while it is held: the first, and one of a volatile line.
        self._before_first = max(start - end, 0)
        self._held = bytes(view[end:])

    def _candidates(self, block: bytes | bytearray, end: int) -> Iterator[int]:
        """Where the line breaks are that stand before a line that may match, in order, before `end`."""
        found: list[int] = []
        for start, word in self._starts.items():
            if word and word not in block:
                continue
            found += _all_of(start, block, end)
        return iter(sorted(set(found)))

    def _hold_from(self, block: bytes | bytearray) -> int:
        """Where an unfinished line begins that may still match, with the line break before it."""
        line = block.rfind(b"\n")
        if line < 0 or len(block) - line > LONGEST_MARKER:
            return len(block)
        may_match = any(start.startswith(block[line : line + len(start)]) for start in self._starts)
        return line if may_match else len(block)

    def _end_section(self, following: str) -> None:
        name = self._name
        while name in self.digests:
            name += "+"
        self.digests[name] = self._section.hexdigest()
        self._name, self._section = following, xxhash.xxh3_128()


def _all_of(start: bytes, block: bytes | bytearray, end: int) -> Iterator[int]:
    """Where `start`, which begins with a line break, stands in `block` before `end`.

    A short text is not searched for as such: single line breaks are found at 10 GB/s, and the lines of a MariaDB
    dump are up to 1 MiB long.
    """
    wanted = start if len(start) >= LONG_ENOUGH else b"\n"
    position = block.find(wanted)
    while 0 <= position < end:
        if wanted is start or block.startswith(start, position):
            yield position
        position = block.find(wanted, position + 1)


def _line_start(pattern: bytes) -> bytes:
    """A line break and the plain text that the pattern begins with."""
    match = PLAIN.match(pattern)
    plain = match[0] if match else b""
    if pattern[len(plain) : len(plain) + 1] in b"*+?{" and pattern[len(plain) :]:
        plain = plain[:-1]  # The last character is repeated, or optional.
    return b"\n" + re.sub(rb"\\(.)", rb"\1", plain)


def _word(pattern: bytes) -> bytes:
    """A word that every match holds; b"" if there may be none."""
    if b"|" in pattern:
        return b""
    return max(re.findall(rb"(?<![\\\[A-Za-z])[A-Za-z]{4,}(?![?*{\]A-Za-z])", pattern), key=len, default=b"")
