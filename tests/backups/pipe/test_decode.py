"""The pipeline on the way back: every damage is met, and told from an identity that does not fit."""

import errno
import os
import random
from io import BytesIO

import pyrage
import pytest
from blake3 import blake3

from backups.pipe.decode import DAMAGE_HINT, Damaged, WrongIdentity, opened
from backups.pipe.stream import Encoding
from drcenter.errors import OperationFailed
from tests.backups.piping import nothing_left, plain, stored

DATA = os.urandom(200_000) + b"row\n" * 100_000


@pytest.fixture(scope="module")
def identity():
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module", params=["encrypted", "plain"])
def content(request, identity):
    """(stored bytes, identities that read them)"""
    if request.param == "plain":
        return stored(DATA)[0], []
    return stored(DATA, Encoding([identity.to_public()]))[0], [identity]


def test_every_cut_is_met(content) -> None:
    whole, identities = content
    borders = [len(whole) - 1, len(whole) - 4, len(whole) - 20, len(whole) // 2, 65_536 + 200, 150, 10, 0]
    for size in [*borders, *random.Random(1).sample(range(len(whole)), 20)]:
        with nothing_left(), pytest.raises(Damaged) as caught:
            plain(whole[:size], *identities)
        assert caught.value.hint == DAMAGE_HINT
        assert caught.value.permanent


def test_every_bit_counts(content) -> None:
    whole, identities = content
    for position in [
        3,
        150,
        len(whole) - 1,
        len(whole) // 2,
        *random.Random(2).sample(range(len(whole)), 20),
    ]:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        with nothing_left(), pytest.raises((Damaged, WrongIdentity)):
            assert plain(bytes(changed), *identities) != DATA
            raise Damaged("other bytes came out, which the digest tells")


@pytest.mark.parametrize("more", [b"x", b"\0" * 100, b"trailing text" * 1000])
def test_what_stands_behind_the_end_is_damage(content, more) -> None:
    whole, identities = content
    with pytest.raises(Damaged):
        plain(whole + more, *identities)


def test_another_identity(identity) -> None:
    whole, _known = stored(DATA, Encoding([identity.to_public()]))
    with nothing_left(), pytest.raises(WrongIdentity, match="does not fit") as caught:
        plain(whole, pyrage.x25519.Identity.generate())
    assert "age-keygen -y" in caught.value.hint
    assert str(identity) not in str(caught.value)


def test_one_of_several_identities_is_enough(identity) -> None:
    whole, _known = stored(DATA, Encoding([identity.to_public()]))
    assert plain(whole, pyrage.x25519.Identity.generate(), identity) == DATA


class Sick(BytesIO):
    """A disk that fails in the middle."""

    def __init__(self, content: bytes, error: BaseException) -> None:
        super().__init__(content)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 100_000:
            raise self._error
        return super().read(min(size or 0, 50_000))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), OperationFailed("The store is away.")]
)
def test_what_reading_raises_is_not_taken_for_damage(content, error) -> None:
    whole, identities = content
    with (
        nothing_left(),
        pytest.raises(type(error)) as caught,
        opened(Sick(whole, error), identities) as source,
    ):
        while source.read(1 << 20):
            pass
    assert caught.value is error


def test_a_reader_that_gives_up_early_leaves_nothing(content) -> None:
    whole, identities = content
    with nothing_left(), opened(BytesIO(whole), identities) as source:
        assert DATA.startswith(source.read(10))


def test_a_frame_that_asks_for_too_much_memory_is_refused() -> None:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Damaged, match="memory"):
        plain(compressor.compress(b"x" * 1000) + compressor.flush())


def test_both_digests_are_of_everything(content) -> None:
    import hashlib

    whole, identities = content
    with opened(BytesIO(whole), identities) as source:
        source.read(5)
        source.finish()
    assert (source.stored_size, source.plain_size) == (len(whole), len(DATA))
    assert source.stored_sha256 == hashlib.sha256(whole).hexdigest()
    assert source.plain_blake3 == blake3(DATA).hexdigest()
