"""What we write is read by two other implementations, and by nobody else."""

import os
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.pipe.age import CHUNK, Sealer, sealed

IDENTITY, OTHER = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
BOTH = [IDENTITY.to_public(), OTHER.to_public()]
EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK - 3]


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("identity", [IDENTITY, OTHER])
def test_pyrage_reads_it(size: int, identity) -> None:
    content = os.urandom(size)
    assert pyrage.decrypt(sealed(content, BOTH), [identity]) == content


@pytest.mark.parametrize("size", EDGES)
def test_the_age_binary_reads_it(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "identity").write_text(str(IDENTITY))
    (tmp_path / "file.age").write_bytes(sealed(content, BOTH))
    command = ["age", "--decrypt", "-i", tmp_path / "identity", tmp_path / "file.age"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == content


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2 * CHUNK), max_size=6))
def test_the_cuts_of_the_stream_do_not_matter(sizes: list[int]) -> None:
    blocks = [os.urandom(size) for size in sizes]
    sealer = Sealer(BOTH)
    stored = b"".join(map(sealer.update, blocks)) + sealer.finish()
    assert pyrage.decrypt(stored, [IDENTITY]) == b"".join(blocks)


def test_nobody_else_reads_it() -> None:
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed(b"secret", [IDENTITY.to_public()]), [OTHER])


@pytest.mark.parametrize("change", ["cut", "flipped", "swapped"])
def test_damage_is_noticed(change: str) -> None:
    stored = bytearray(sealed(os.urandom(3 * CHUNK), BOTH))
    payload = len(stored) - 3 * (CHUNK + 16)
    if change == "cut":
        del stored[-(CHUNK + 16) :]
    elif change == "flipped":
        stored[-1] ^= 1
    else:
        first = stored[payload : payload + CHUNK + 16]
        second = stored[payload + CHUNK + 16 : payload + 2 * (CHUNK + 16)]
        stored[payload : payload + 2 * (CHUNK + 16)] = second + first
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(bytes(stored), [IDENTITY])


def test_no_two_files_share_a_key() -> None:
    first, second = sealed(b"the same", BOTH), sealed(b"the same", BOTH)
    assert first.partition(b"\n---")[0] != second.partition(b"\n---")[0]
    assert first[-24:] != second[-24:]


def test_it_needs_a_recipient() -> None:
    with pytest.raises(ValueError, match="recipient"):
        Sealer([])
