"""Frames side by side: in order, whole, and readable by every decoder."""

import os
import subprocess
from io import BytesIO

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.pipe.frames import Frames
from backups.pipe.packing import FRAME, LARGE_FRAME, THOROUGH, Packer
from backups.pipe.raw import SAMPLE, STRETCH, packed_already, raw_frame

TEXT = b"One sentence, and another one that is quite like it. " * 100_000
NOISE = os.urandom(3 << 20)


def unpacked(stored: bytes) -> bytes:
    followed = Frames()
    followed.feed(stored)
    assert followed.complete
    return zstandard.ZstdDecompressor().stream_reader(BytesIO(stored), read_across_frames=True).read()


def packed(blocks, level: int = 2, *, checksum: bool = True) -> list[bytes]:
    with Packer(level, checksum=checksum) as packer:
        frames = [frame for block in blocks for frame in packer.add(block)]
        return [*frames, *packer.finish()]


@pytest.mark.parametrize("level", [1, 2, THOROUGH])
@pytest.mark.parametrize(
    "blocks",
    [
        [], [b""], [b"x"], [b"one", b"", b"two"], [TEXT], [NOISE], [TEXT, NOISE, b"end"],
        [bytes([number]) * 300_000 for number in range(40)],
    ],
)  # fmt: skip
def test_what_was_packed_comes_back(blocks, level) -> None:
    assert unpacked(b"".join(packed(blocks, level))) == b"".join(blocks)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, FRAME)), max_size=12))
def test_buffers_of_the_packer_and_other_blocks_keep_their_order(steps) -> None:
    given_, frames = [], []
    with Packer(1, checksum=False) as packer:
        for number, (lent, size) in enumerate(steps):
            block = packer.spare() if lent else bytearray(size)
            block[:] = bytes([number]) * len(block)
            given_.append(bytes(block))
            frames += packer.add(block)
        frames += packer.finish()
    assert unpacked(b"".join(frames)) == b"".join(given_)


def test_a_buffer_is_used_again_only_when_its_frame_is_out() -> None:
    contents = [bytes([number]) * FRAME for number in range(20)]
    used, frames = set(), []
    with Packer(2, checksum=True) as packer:
        for content in contents:
            buffer = packer.spare()
            assert packer.spare() is buffer
            used.add(id(buffer))
            buffer[:] = content
            frames += packer.add(buffer)
        frames += packer.finish()
    assert unpacked(b"".join(frames)) == b"".join(contents)
    assert len(used) <= 5


def test_many_small_blocks_share_a_frame_and_a_large_one_is_cut() -> None:
    assert len(packed([b"x" * 1000] * 4000)) == 2
    assert len(packed([bytes(5 * FRAME)])) == 5
    assert len(packed([bytes(2 * LARGE_FRAME)], THOROUGH)) == 2


def test_the_level_and_the_checksum_are_those_asked_for() -> None:
    text = TEXT[:500_000] + NOISE[:1000]
    sizes = [len(b"".join(packed([text], level))) for level in (1, 3, 19)]
    assert sizes == sorted(sizes, reverse=True)
    for content in (text, NOISE):
        for checksum in (True, False):
            (frame, *_) = packed([content], checksum=checksum)
            assert zstandard.get_frame_parameters(frame).has_checksum is checksum


def test_what_is_packed_already_costs_its_size_and_a_few_bytes_whatever_the_level() -> None:
    for level in (1, 19):
        assert len(b"".join(packed([NOISE], level))) <= len(NOISE) + 200


@pytest.mark.parametrize("size", [0, 1, 2 * SAMPLE, STRETCH - 1, STRETCH, STRETCH + 1, 3 * STRETCH])
@pytest.mark.parametrize("checksum", [True, False])
def test_the_zstd_program_reads_raw_frames(size, checksum) -> None:
    content = NOISE[:size]
    frame = raw_frame(content, checksum=checksum)
    finished = subprocess.run(["zstd", "-dc"], input=frame * 2, capture_output=True, check=True)
    assert finished.stdout == content * 2
    assert len(frame) <= size + 20 + 3 * (size // STRETCH)


def test_a_damage_in_a_raw_frame_is_noticed_by_its_checksum() -> None:
    frame = bytearray(raw_frame(NOISE, checksum=True))
    frame[1000] ^= 1
    assert subprocess.run(["zstd", "-qt"], input=frame, check=False).returncode == 1


def test_what_shrinks_anywhere_for_long_is_not_taken_for_packed() -> None:
    sampler = zstandard.ZstdCompressor(level=1)
    assert packed_already(NOISE, sampler)
    for start in range(0, len(NOISE) - 2 * STRETCH, STRETCH // 3):
        mixed = NOISE[:start] + b"a" * (STRETCH + SAMPLE) + NOISE[start + STRETCH + SAMPLE :]
        assert not packed_already(mixed, sampler)
    assert not packed_already(b"short", sampler)
    assert not packed_already(TEXT, sampler)
