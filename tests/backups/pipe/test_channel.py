"""The channel: order, bounds, both ends of it, and errors in both directions."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.pipe.channel import Blocks, Channel, Remembering


def run(*acts) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@given(blocks=st.lists(st.binary(max_size=50), max_size=20), sizes=st.lists(st.integers(1, 60), min_size=1))
def test_bytes_come_out_as_they_went_in(blocks, sizes) -> None:
    channel, found = Channel(blocks=2), []

    def write() -> None:
        for block in blocks:
            channel.put(block)
        channel.close()

    def read() -> None:
        number = 0
        while block := channel.read(sizes[number % len(sizes)]):
            assert len(block) <= sizes[number % len(sizes)]
            found.append(block)
            number += 1

    run(write, read)
    assert b"".join(found) == b"".join(blocks)


def test_a_writer_waits_for_room() -> None:
    channel, put = Channel(blocks=3), []

    def write() -> None:
        for number in range(6):
            channel.put(b"x")
            put.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.1)
    assert put == [0, 1, 2]
    assert [channel.get() for _ in range(6)] == [b"x"] * 6
    thread.join(5)


def test_a_reader_that_gives_up_frees_the_writer() -> None:
    channel, met = Channel(blocks=1), []

    def write() -> None:
        with pytest.raises(OSError, match="away") as caught:
            for _ in range(5):
                channel.put(b"x")
        met.append(caught.value)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.05)
    channel.fail(OSError("away"))
    thread.join(5)
    assert len(met) == 1


def test_a_failed_writer_frees_the_reader_at_once_and_the_first_error_stays() -> None:
    channel = Channel()
    channel.put(b"not to be trusted")
    channel.fail(ValueError("first"))
    channel.fail(OSError("second"))
    channel.close()
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            channel.read(10)
    with pytest.raises(ValueError, match="first"):
        channel.put(b"more")


def test_everything_at_once_and_the_end_again_and_again() -> None:
    channel = Channel()
    for block in (b"a", b"", b"bc"):
        channel.put(block)
    channel.close()
    assert channel.read() == b"abc"
    assert [channel.read(1), channel.read(), channel.get()] == [b"", b"", b""]


def test_small_pieces_are_gathered() -> None:
    channel = Channel(blocks=10)
    blocks = Blocks(channel, 10)
    assert sum(blocks.write(b"1234") for _ in range(6)) == 24
    blocks.flush()
    blocks.flush_rest()
    channel.close()
    assert [channel.get(), channel.get(), channel.get()] == [b"123412341234", b"123412341234", b""]


def test_errors_are_kept_for_those_who_hide_them() -> None:
    channel = Channel()
    channel.fail(OSError("away"))
    reader, writer = Remembering(channel), Blocks(channel, 1)
    for act in (lambda: reader.read(1), lambda: writer.write(b"x")):
        with pytest.raises(OSError, match="away"):
            act()
    assert str(reader.error) == str(writer.error) == "away"
