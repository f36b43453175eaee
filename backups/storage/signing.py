"""Signs checksums.txt with Ed25519, so that whoever restores can tell our sets from planted ones.

The private key stays in the state directory. The public key belongs into the recovery kit: with it
`restore.sh` is checked before it is run, by OpenSSL alone:

    openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig
"""

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from drcenter.errors import OperationFailed


class SigningKey:
    """The key that signs the sets of this installation."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    def sign(self, content: bytes) -> bytes:
        """64 bytes: the same content gives the same signature."""
        return self._private.sign(content)

    @property
    def public_pem(self) -> str:
        """The public key, as OpenSSL and the recovery kit want it."""
        public = self._private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public_pem)


def mark(fingerprint: str) -> str:
    """What the names of this DR Center's attempts begin with: two may write to one place."""
    return fingerprint[:4]


def is_marked(identifier: str, fingerprint: str) -> bool:
    """Whether an attempt is of the DR Center with that key, as far as its name says."""
    return identifier.partition("-")[2].startswith(mark(fingerprint))


def load_or_create(path: Path) -> SigningKey:
    """The key in `path`, made now if there is none, with mode 0600.

    Two processes that come at once get the same key. Raises OperationFailed when the file is no such
    key, or others may read it: a key that may have been copied proves nothing.
    """
    try:
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise OperationFailed(
                f"Others may read the signing key {path}.",
                "Find out who could have copied it. Then chmod 600, or remove it, and print new recovery kits.",
                permanent=True,
            )
        content = path.read_bytes()
    except OSError as error:
        raise OperationFailed(
            f"The signing key {path} cannot be used: {error.strerror}.",
            "Check the state directory, and that it belongs to the user of the workers.",
            permanent=True,
        ) from None
    return SigningKey(_private(content, path))


def verify(public_pem: str, content: bytes, signature: bytes) -> bool:
    """True if `signature` is the one of `content` by that key. Raises OperationFailed if it is no key."""
    try:
        _public(public_pem).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def fingerprint(public_pem: str) -> str:
    """SHA-256 of the public key in DER: `openssl pkey -pubin -in key.pem -outform DER | sha256sum`."""
    der = _public(public_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _create(path: Path) -> None:
    """A whole key appears under `path`, or none; one that is there already stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)  # Refuses to replace: the first of two processes wins.
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)


def _private(content: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise OperationFailed(
            f"{path} is not an Ed25519 key.",
            "Put back the key from a backup of the state directory.",
            permanent=True,
        )
    return key


def _public(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise OperationFailed(
            "This is not an Ed25519 public key.", "Take it from the recovery kit.", permanent=True
        )
    return key
