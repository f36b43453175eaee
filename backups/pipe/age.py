"""Writes the age format, version 1 (https://age-encryption.org/v1), to X25519 recipients, block by block.

Only writing is here, because OpenSSL's ChaCha20-Poly1305 takes a quarter of the CPU seconds of pyrage's
(docs/benchmarks.md). What it wrote is read by another implementation each time: every set is read back with
pyrage right after the take, and people restore with the `age` binary.
"""

import base64
import os
from collections.abc import Sequence

import pyrage
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK = 1 << 16
VERSION = b"age-encryption.org/v1"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32_CHECKSUM = 6


class Sealer:
    """Encrypts a stream to one or more recipients: `update` with each block, `finish` once.

    Concatenated, what both return is one age file. The file's key lives here only.
    """

    def __init__(self, recipients: Sequence[pyrage.x25519.Recipient]) -> None:
        if not recipients:
            raise ValueError("An age file needs a recipient.")
        file_key, nonce = os.urandom(16), os.urandom(16)
        self._begun = _header(file_key, recipients) + nonce
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._number = 0
        self._rest = b""

    def update(self, block: bytes) -> bytes:
        """The bytes that are certain now; a chunk waits until it is known not to be the last one."""
        waiting, sealed, position = memoryview(block), [self._take_begun()], 0
        if self._rest and len(self._rest) + len(waiting) > CHUNK:
            position = CHUNK - len(self._rest)
            sealed.append(self._chunk(self._rest + waiting[:position], last=False))
            self._rest = b""
        while len(waiting) - position > CHUNK:
            sealed.append(self._chunk(waiting[position : position + CHUNK], last=False))
            position += CHUNK
        self._rest += waiting[position:]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """The last chunk. Without it age refuses the file as cut."""
        return self._take_begun() + self._chunk(self._rest, last=True)

    def _take_begun(self) -> bytes:
        begun, self._begun = self._begun, b""
        return begun

    def _chunk(self, plain: bytes | memoryview, *, last: bool) -> bytes:
        nonce = self._number.to_bytes(11, "big") + bytes([last])
        self._number += 1
        return self._cipher.encrypt(nonce, plain, None)


def sealed(content: bytes, recipients: Sequence[pyrage.x25519.Recipient]) -> bytes:
    """`content` as one age file."""
    sealer = Sealer(recipients)
    return sealer.update(content) + sealer.finish()


def _header(file_key: bytes, recipients: Sequence[pyrage.x25519.Recipient]) -> bytes:
    stanzas = b"".join(_stanza(file_key, _public_key(str(one))) for one in recipients)
    signed = VERSION + b"\n" + stanzas + b"---"
    code = HMAC(_derived(file_key, b"", b"header"), SHA256())
    code.update(signed)
    return signed + b" " + _base64(code.finalize()) + b"\n"


def _stanza(file_key: bytes, recipient: bytes) -> bytes:
    """The file's key, wrapped for one recipient by a key pair that is used once."""
    once = X25519PrivateKey.generate()
    share = once.public_key().public_bytes_raw()
    secret = once.exchange(X25519PublicKey.from_public_bytes(recipient))
    wrapping = _derived(secret, share + recipient, VERSION + b"/X25519")
    wrapped = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _base64(share) + b"\n" + _base64(wrapped) + b"\n"


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(secret)


def _base64(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")


def _public_key(recipient: str) -> bytes:
    """The 32 bytes in `age1…`. That it is a good Bech32 text, pyrage has made sure of."""
    letters = recipient.rpartition("1")[2][:-BECH32_CHECKSUM]
    number = 0
    for letter in letters:
        number = number << 5 | BECH32.index(letter)
    return (number >> (5 * len(letters) - 256)).to_bytes(32, "big")
