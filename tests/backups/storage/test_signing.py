"""Signatures, checked by OpenSSL as somebody with nothing but the kit would do it."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from backups.storage.signing import fingerprint, load_or_create, verify
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

TEXT = b"0" * 64 + b"  restore.sh\n"


@pytest.fixture
def key(tmp_path):
    return load_or_create(tmp_path / "signing.pem")


def openssl(*arguments, directory):
    return run(Command(("openssl", *arguments), directory=str(directory)), check=False)


@pytest.mark.parametrize(("text", "good"), [(TEXT, True), (TEXT.replace(b"0", b"1", 1), False), (b"", False)])
def test_openssl_checks_it(key, tmp_path, text, good):
    (tmp_path / "key.pem").write_text(key.public_pem)
    (tmp_path / "checksums.txt").write_bytes(text)
    (tmp_path / "checksums.txt.sig").write_bytes(key.sign(TEXT))
    command = "pkeyutl -verify -pubin -inkey key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig"
    finished = openssl(*command.split(), directory=tmp_path)
    assert (finished.code == 0) is good
    assert (b"Signature Verified Successfully" in finished.stdout) is good


def test_openssl_gives_the_same_fingerprint(key, tmp_path):
    (tmp_path / "key.pem").write_text(key.public_pem)
    der = openssl("pkey", "-pubin", "-in", "key.pem", "-outform", "DER", directory=tmp_path).stdout
    assert key.fingerprint == fingerprint(key.public_pem) == hashlib.sha256(der).hexdigest()


def test_verify(key, tmp_path):
    other = load_or_create(tmp_path / "other.pem")
    signature = key.sign(TEXT)
    assert verify(key.public_pem, TEXT, signature)
    assert not verify(key.public_pem, TEXT + b"x", signature)
    assert not verify(other.public_pem, TEXT, signature)
    assert not verify(key.public_pem, TEXT, signature[:-1])
    assert not verify(key.public_pem, TEXT, b"")


def test_the_key_is_kept_and_for_the_owner_alone(key, tmp_path):
    path = tmp_path / "signing.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(path).fingerprint == key.fingerprint
    assert [one.name for one in tmp_path.iterdir()] == ["signing.pem"]


def test_many_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _number: load_or_create(tmp_path / "signing.pem"), range(32)))
    assert len({key.fingerprint for key in keys}) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["signing.pem"]


def test_a_key_that_others_may_read_is_refused(key, tmp_path):
    (tmp_path / "signing.pem").chmod(0o640)
    with pytest.raises(OperationFailed, match="Others may read"):
        load_or_create(tmp_path / "signing.pem")


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_neither_used_nor_replaced(tmp_path, content):
    path = tmp_path / "signing.pem"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(OperationFailed, match="not an Ed25519 key"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(OperationFailed, match="cannot be used"):
        load_or_create(tmp_path / "missing" / "signing.pem")


def test_a_public_key_that_is_none():
    with pytest.raises(OperationFailed, match="not an Ed25519 public key"):
        verify("rubbish", b"", b"")
