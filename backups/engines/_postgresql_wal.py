"""What a WAL file of PostgreSQL is called and looks like (pure; xlog_internal.h, backup "WAL Internals")."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}", re.IGNORECASE)
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
PARTIAL = ".partial"
# A page begins with magic, flags, timeline, and its own place; the first of a file goes on with the system's
# identifier, the size of the files, and that of the pages.
PAGE = struct.Struct("<HHIQ")
FIRST = struct.Struct("<HHIQIIQII")
# Everything in the log begins at a multiple of this.
ALIGNED = 8
BLOCK = 1 << 20
# Of a file, unless initdb was told otherwise.
DEFAULT_SIZE = 16 << 20


class NotTheLog(ValueError):
    """These bytes are not what stands at that place of the log; the message says why."""


@dataclass(frozen=True)
class Header:
    """What the first page of a file says."""

    system: int
    size: int
    page: int


def number(lsn: str) -> int:
    """The place `16/B374D848` as bytes since the log's beginning."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def text(place: int) -> str:
    """As PostgreSQL writes it."""
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def name_of(timeline: int, segment: int, size: int) -> str:
    """The name of the file with the number `segment`, where files have `size` bytes."""
    per_log = (1 << 32) // size
    return f"{timeline:08X}{segment // per_log:08X}{segment % per_log:08X}"


def place_in(timeline: int, lsn: str, size: int) -> tuple[str, int]:
    """The file that `lsn` is in, and the byte; the end of a file, not the beginning of the next."""
    place = number(lsn)
    segment, offset = divmod(place, size)
    return (
        (name_of(timeline, segment, size), offset) if offset else (name_of(timeline, segment - 1, size), size)
    )


def located(lsn: str, files: Mapping[str, int]) -> tuple[str, int]:
    """The file that `lsn` is in, and the byte, among those that are archived: {name: how far they are}; of several
    timelines the newest. Raises ValueError for what is no place of the log, LookupError when none of them has it."""
    if not LSN.fullmatch(lsn):
        raise ValueError(lsn)
    known = {name: end for name, end in files.items() if SEGMENT.fullmatch(name)}
    # Files are whole but for the newest: the largest is as large as all are.
    size = max(known.values(), default=DEFAULT_SIZE)
    size = size if size & (size - 1) == 0 and size >= 1 << 20 else DEFAULT_SIZE
    wanted, offset = divmod(number(lsn), size)
    there = sorted(name for name in known if parsed(name, size)[1] == wanted)
    if not there:
        raise LookupError(lsn)
    return there[-1], offset


def parsed(name: str, size: int) -> tuple[int, int]:
    """Timeline and number of the file `name`. Raises NotTheLog."""
    found = SEGMENT.fullmatch(name)
    if found is None:
        raise NotTheLog(f"{name} is no name of a WAL file")
    timeline, log, within = (int(one, 16) for one in found.groups())
    return timeline, log * ((1 << 32) // size) + within


def order(name: str) -> tuple[int, int, str]:
    """For sorting: the history of a timeline stands before its first file."""
    return int(name[:8], 16), 0 if HISTORY.fullmatch(name) else 1, name


def header(stream: BinaryIO) -> Header | None:
    """None: its first page has not arrived. Raises NotTheLog."""
    stream.seek(0)
    data = stream.read(FIRST.size)
    if len(data) < FIRST.size or not any(data):
        return None
    *_before, system, size, page = FIRST.unpack(data)
    if page not in {1 << power for power in range(10, 17)} or size not in {
        1 << power for power in range(20, 31)
    }:
        raise NotTheLog("its first page is not that of a WAL file")
    return Header(system, size, page)


def written(stream: BinaryIO, size: int) -> int:
    """How many bytes of a file that is filled up with zeros were written at least: up to the last that is none.

    pg_receivewal writes in order, at multiples of eight, so what stands before it is written too.
    """
    end = size
    while end:
        begin = max(0, end - BLOCK)
        stream.seek(begin)
        if kept := stream.read(end - begin).rstrip(b"\0"):
            return min(size, -(-(begin + len(kept)) // ALIGNED) * ALIGNED)
        end = begin
    return 0


def check(stream: BinaryIO, name: str, begin: int, end: int) -> None:
    """Every page that begins in these bytes says that it stands there. Raises NotTheLog.

    Pages behind a switch to the next file are empty.
    """
    found = header(stream)
    if found is None:
        return
    _timeline, segment = parsed(name, found.size)
    for offset in range(-(-begin // found.page) * found.page, end - PAGE.size + 1, found.page):
        stream.seek(offset)
        data = stream.read(PAGE.size)
        _magic, _flags, _line, place = PAGE.unpack(data)
        if any(data) and place != segment * found.size + offset:
            raise NotTheLog(f"at byte {offset} stands what belongs to {text(place)}")


def switched_at(history: str, timeline: int) -> int | None:
    """Where the timeline `timeline` ended, as the history of a later one says; None: it does not know it."""
    for line in history.splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 2 and words[0].isdigit() and int(words[0]) == timeline and "/" in words[1]:
            return number(words[1])
    return None
