"""Where the frames of zstd end."""

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backups.pipe.frames import Frames

SKIPPABLE = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"


def frame(data: bytes, *, checksum: bool, streamed: bool) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=not streamed)
    if not streamed:
        return compressor.compress(data)
    stream = compressor.compressobj()
    return stream.compress(data) + stream.flush()


FRAMES = st.one_of(
    st.just(SKIPPABLE),
    st.builds(
        frame,
        st.one_of(st.binary(max_size=300), st.sampled_from([b"", b"x" * 300_000, bytes(range(256)) * 2000])),
        checksum=st.booleans(),
        streamed=st.booleans(),
    ),
)


@given(
    frames=st.lists(FRAMES, min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=8),
    missing=st.integers(1, 30),
)
def test_only_the_end_of_a_frame_is_complete(frames, cuts, missing) -> None:
    data = b"".join(frames)
    borders = {0}
    for one in frames:
        borders.add(max(borders) + len(one))
    followed, position = Frames(), 0
    for cut in sorted({cut % (len(data) + 1) for cut in cuts} | {max(0, len(data) - missing), len(data)}):
        followed.feed(data[position:cut])
        position = cut
        assert followed.complete == (cut in borders and cut > 0), (cut, borders)


def test_what_is_no_frame_is_never_complete() -> None:
    followed = Frames()
    assert not followed.complete
    for _ in range(3):
        followed.feed(b"no frame at all, only text")
        assert not followed.complete
    after = Frames()
    after.feed(frame(b"good", checksum=True, streamed=False))
    assert after.complete
    after.feed(b"and garbage")
    assert not after.complete
