"""What cannot be packed any more (photographs, films, archives): seen quickly, and stored as it is in a zstd frame (pure).

A level for few bytes would look for matches in it for minutes; the quick ones still pay for finding none.
"""

import xxhash
import zstandard

# One sample of each stretch is looked at.
STRETCH, SAMPLE = 128 << 10, 4 << 10
# What has to be saved of a sample so that it counts as packable.
WORTHWHILE = SAMPLE // 100
SMALLEST = 2 * SAMPLE
# RFC 8878, sections 3.1.1.1 and 3.1.1.2: one segment, its size in 4 bytes; a block holds 128 KiB at most.
MAGIC, DESCRIPTOR, WITH_CHECKSUM, LARGEST_BLOCK = b"\x28\xb5\x2f\xfd", 0xA0, 0x04, 128 << 10

Block = bytes | bytearray | memoryview


def packed_already(content: Block, sampler: zstandard.ZstdCompressor) -> bool:
    """Whether no sample of `content` shrinks, one of 4 KiB in each 128 KiB. A stretch that would, and lies between
    two samples, is overlooked. `sampler` compresses at a quick level, and belongs to the calling thread."""
    view = memoryview(content)
    if len(view) < SMALLEST:
        return False
    starts = range(0, len(view) - SAMPLE + 1, STRETCH)
    return all(len(sampler.compress(view[start : start + SAMPLE])) > SAMPLE - WORTHWHILE for start in starts)


def raw_frame(content: Block, *, checksum: bool) -> bytes:
    """`content`, which is less than 4 GiB, as a frame that any zstd reads."""
    view, size = memoryview(content), len(content)
    descriptor = DESCRIPTOR | (WITH_CHECKSUM if checksum else 0)
    pieces: list[bytes | memoryview] = [MAGIC, bytes([descriptor]), size.to_bytes(4, "little")]
    for start in range(0, max(size, 1), LARGEST_BLOCK):
        block = view[start : start + LARGEST_BLOCK]
        last = start + LARGEST_BLOCK >= size
        pieces += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    if checksum:
        pieces.append((xxhash.xxh64_intdigest(view) & 0xFFFFFFFF).to_bytes(4, "little"))
    return b"".join(pieces)
