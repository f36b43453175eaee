"""Reading a part back: its digests, and the list of a tar to its very end."""

import io
import tarfile
from dataclasses import dataclass

import pyrage
import pytest

from backups.destinations.local import Plugin as Local
from backups.pipe.decode import Damaged, WrongIdentity
from backups.pipe.stream import Encoding
from backups.storage.readback import ReadableCopy, Unreadable, check, check_digest, check_stored
from tests.backups.piping import stored


@dataclass
class Part:
    key: str
    suffix: str
    stored_size: int
    stored_sha256: str
    plain_blake3: str


@pytest.fixture
def place(tmp_path):
    destination = Local({"path": str(tmp_path)})
    destination.prepare()
    return destination


def archive(format=tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name in ("a", "b" * 200, "c\udcff"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(b"x" * 700))
    return buffer.getvalue()


def put(place, data: bytes, suffix: str = "tar", identity=None) -> tuple[ReadableCopy, Part]:
    content, known = stored(data, Encoding([identity.to_public()] if identity else []))
    place.put("s/part", io.BytesIO(content))
    part = Part("part", suffix, known.stored_size, known.stored_sha256, known.plain_blake3)
    return ReadableCopy(place, "s/", [identity] if identity else []), part


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("encrypt", [True, False])
def test_a_good_part(place, format, encrypt) -> None:
    done = []
    copy, part = put(place, archive(format), identity=pyrage.x25519.Identity.generate() if encrypt else None)
    check(copy, part, done.append)
    check_stored(copy, part)
    check_digest(copy, part)
    assert sum(done) == len(archive(format))


CUTS = [512 + 700, 512 + 1024, 512 + 1024 + 100, 5 * 512]


@pytest.mark.parametrize("size", CUTS)
def test_an_archive_without_its_end(place, size) -> None:
    """tar itself was cut, and everything after it is right."""
    copy, part = put(place, archive()[:size])
    with pytest.raises(Damaged, match="part: The archive cannot be listed"):
        check(copy, part)


@pytest.mark.parametrize("position", [1, 150, 512 + 1024 + 20])
def test_a_header_that_is_damaged(place, position) -> None:
    data = bytearray(archive())
    data[position] ^= 0xFF
    copy, part = put(place, bytes(data))
    with pytest.raises(Damaged, match="cannot be listed"):
        check(copy, part)


@pytest.mark.parametrize("field", ["stored_size", "stored_sha256", "plain_blake3"])
def test_every_digest_counts(place, field) -> None:
    copy, part = put(place, b"SELECT 1;", "sql")
    setattr(part, field, 7 if field == "stored_size" else "0" * 64)
    with pytest.raises(Damaged, match=r"part: the .* is .*, it was"):
        check(copy, part)
    part.plain_blake3 = ""
    if field == "plain_blake3":
        check(copy, part)


def test_an_identity_that_does_not_fit_and_a_bit_that_looks_so(place) -> None:
    identity = pyrage.x25519.Identity.generate()
    copy, part = put(place, b"SELECT 1;", "sql", identity)
    with pytest.raises(WrongIdentity):
        check(ReadableCopy(place, "s/", [pyrage.x25519.Identity.generate()]), part)
    with place.open("s/part") as file:
        content = bytearray(file.read())
    content[30] ^= 1
    place.put("s/part", io.BytesIO(bytes(content)))
    with pytest.raises(Damaged, match="digest of the stored bytes"):
        check(copy, part)


def test_a_missing_part_is_named(place) -> None:
    copy, part = put(place, b"x", "sql")
    place.delete("s/part")
    with pytest.raises(Damaged, match="part is missing"):
        check_stored(copy, part)


def test_a_store_that_is_away_is_no_damage(place, tmp_path) -> None:
    copy, part = put(place, b"x", "sql")
    for path in tmp_path.glob(".drc*"):
        path.unlink()
    with pytest.raises(Unreadable, match="is missing in it"):
        check(copy, part)


def test_a_small_object_that_is_huge_is_refused(place, monkeypatch) -> None:
    monkeypatch.setattr("backups.storage.readback.LARGEST_MANIFEST", 10)
    place.put("s/manifest.json", io.BytesIO(b"x" * 11))
    with pytest.raises(Damaged, match="larger than such an object"):
        ReadableCopy(place, "s/").content("manifest.json")
