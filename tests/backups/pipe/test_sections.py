"""Sections and digests: the same whatever the blocks are."""

import re
import time
from itertools import pairwise

import pytest
import xxhash
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from backups.engines import _mariadb_commands, _postgresql_commands
from backups.pipe.sections import LONGEST_MARKER, Sections

MARKER = rb"-- Data for Name: (.+); Owner: "
VOLATILE = rb"\\(?:un)?restrict [A-Za-z0-9]+"
PAIRS = [
    (MARKER, VOLATILE),
    (_mariadb_commands.MARKER, _mariadb_commands.VOLATILE),
    (_postgresql_commands.MARKER, _postgresql_commands.VOLATILE),
    (MARKER, None),
]
LINES = [
    b"-- Data for Name: orders; Owner: app",
    b"-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app",
    b"-- Data for Name: half",
    b"\\restrict abcDEF123",
    b"\\unrestrict abcDEF123",
    b"\\.",
    b"-- Dumping data for table `t`",
    b"-- Host: db1    Database: app",
    b"-- Dump completed",
    b"-- ",
    b"--",
    b"-",
    b"",
    b"INSERT INTO t VALUES ('-- Dumping data for table `x`')",
    b"restrict",
    b"\xff\x00 bytes",
    b"-- Dumping data for table `" + b"x" * (LONGEST_MARKER - 28) + b"`",
    b"-- Dumping data for table `" + b"y" * (LONGEST_MARKER - 27) + b"`",
    b"\\restrict " + b"z" * LONGEST_MARKER,
]


def expected(data: bytes, marker: bytes, volatile: bytes | None) -> dict[str, str]:
    """The plain rule, line by line, over the whole."""
    sections: list[tuple[str, bytes]] = [("", b"")]
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    for line in lines:
        text = line.rstrip(b"\n")
        short = len(text) < LONGEST_MARKER
        if short and volatile and re.match(volatile, text):
            continue
        if short and line.endswith(b"\n") and (found := re.match(marker, text)):
            sections.append((found[1].decode(errors="replace"), b""))
        name, content = sections[-1]
        sections[-1] = (name, content + line)
    digests: dict[str, str] = {}
    for title, content in sections:
        name = title
        while name in digests:
            name += "+"
        digests[name] = xxhash.xxh3_128(content).hexdigest()
    return digests


@given(
    lines=st.lists(st.sampled_from(LINES), max_size=14),
    end=st.booleans(),
    cuts=st.lists(st.integers(0, 5000), max_size=12),
    pair=st.sampled_from(PAIRS),
)
def test_any_cut_gives_the_same_sections(lines, end, cuts, pair) -> None:
    data = b"\n".join(lines) + (b"\n" if end else b"")
    sections = Sections(*pair)
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, stop in pairwise(borders):
        sections.update(data[start:stop])
    assert sections.finish() == expected(data, *pair)
    assert (sections.size, sections.blake3) == (len(data), blake3(data).hexdigest())


@pytest.mark.parametrize("pair", PAIRS)
def test_byte_by_byte_is_like_the_whole(pair) -> None:
    data = b"\n".join(LINES) + b"\n"
    whole, single = Sections(*pair), Sections(*pair)
    whole.update(data)
    for number in range(len(data)):
        single.update(data[number : number + 1])
    assert single.finish() == whole.finish() == expected(data, *pair)


def test_two_dumps_differ_in_the_table_that_differs() -> None:
    def digests(host: bytes, rows: bytes) -> dict[str, str]:
        sections = Sections(_mariadb_commands.MARKER, _mariadb_commands.VOLATILE)
        sections.update(
            b"-- MariaDB dump 10.19\n-- Host: " + host + b"\n-- Table structure for table `a`\nCREATE\n"
        )
        sections.update(b"-- Dumping data for table `a`\n" + rows + b"-- Dumping data for table `b`\nsame\n")
        return sections.finish()

    one, other = digests(b"db1", b"1\n"), digests(b"elsewhere", b"2\n")
    assert [name for name in one if one[name] != other[name]] == ["Dumping data for table `a`"]


def test_without_a_marker_there_are_only_the_size_and_the_whole_digest() -> None:
    sections = Sections()
    sections.update(b"-- Data for Name: orders; Owner: app\n")
    assert sections.finish() == {}
    assert sections.size == 37


@pytest.mark.parametrize("pair", PAIRS[1:3])
def test_it_is_quick(pair) -> None:
    """The compressor is the limit (about 200 MB/s): digests must stay well above. Bounds are generous."""
    line = b"(12345,'some text of a row that is not very long','2024-01-01 00:00:00',NULL,3.14),\n"
    block = (line * ((1 << 20) // len(line) + 1))[: 1 << 20]
    sections = Sections(*pair)
    began = time.process_time()
    for _number in range(64):
        sections.update(block)
    assert time.process_time() - began < 64 / 80
