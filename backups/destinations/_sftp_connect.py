"""A connection to an SFTP server: its host key is compared before anything secret is sent."""

import base64
import hashlib
import hmac
import io
import logging
import socket
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from backups.destinations._sftp_protocol import (
    DENIED,
    FAILURE,
    NO_SUCH_FILE,
    UNSUPPORTED,
    Gone,
    Refused,
    Session,
)
from backups.destinations.base import NotThere
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret, resolve

CONNECT_SECONDS = 15
ANSWER_SECONDS = 60
KEEP_ALIVE_SECONDS = 20
# Answers to reads that nobody has waited for yet must not keep those to writes from coming: bytes.
WINDOW = 32 << 20
FAMILIES = (("ssh-ed25519",), ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
            ("rsa-sha2-512", "rsa-sha2-256"))  # fmt: skip

NETWORK = "Check host, port, network and firewall; try again later."
SIGN_IN = "Check the user and the password or key; the server's log (journalctl -u ssh) says more."
RIGHTS = "Give the user on the server the right to read and write there."


class Changed(OperationFailed):
    """The server offers another host key than the one that is expected."""


class Lost(OperationFailed):
    """The server is out of reach, or the connection broke: another connection may do."""


def is_lost(error: OperationFailed) -> bool:
    return isinstance(error, Lost)


@dataclass(frozen=True)
class Address:
    """Where to, as whom, and which host keys are the right ones (a key line, or SHA256:…)."""

    host: str
    port: int
    user: str
    host_keys: Sequence[str]
    password: str = ""
    private_key: str = ""
    passphrase: str = ""

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port}" if self.port != 22 else self.host


def key_of(line: str) -> tuple[str, bytes] | None:
    """(algorithm, key) of a line as in known_hosts or a .pub file; None for anything else."""
    words = line.split()
    for name, encoded in pairwise(words):
        if name.startswith(("ssh-", "ecdsa-")):
            with suppress(ValueError):
                key = base64.b64decode(encoded, validate=True)
                return (name, key) if key[4:].startswith(name.encode()) else None
    return None


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def connect(address: Address, owner: object) -> Session:
    """A session; it ends when `owner` is gone. Raises OperationFailed; Changed for an unexpected host key."""
    failure: Changed | None = None
    for family in _families(address):
        try:
            transport = _reached(address, family)
        except Changed as error:
            failure = failure or error
            continue
        if transport is not None:
            weakref.finalize(owner, transport.close)
            return _signed_in(transport, address)
    raise failure or OperationFailed(
        f"{address.server} offers no host key of a kind that is expected.",
        "See which ones it has (ssh-keyscan), compare one on the server, then enter it.",
        permanent=True,
    )


def _families(address: Address) -> list[tuple[str, ...]]:
    """Kinds of host keys to ask for: a server has several keys, and shows the one of the first kind it knows."""
    expected = [key_of(line) for line in address.host_keys]
    names = {found[0] for found in expected if found}
    if names and None not in expected:
        kinds = {"rsa-sha2-512" if name == "ssh-rsa" else name for name in names}
        return [family for family in FAMILIES if kinds & set(family)] or list(FAMILIES)
    return list(FAMILIES)


def _reached(address: Address, family: tuple[str, ...]) -> Any:
    """A transport to a server that has shown the right key; None when it has no key of this family."""
    import_paramiko()
    from paramiko import SSHException, Transport
    from paramiko.ssh_exception import IncompatiblePeer

    transport: Any = None
    try:
        transport = Transport(_socket(address))
        transport.get_security_options().key_types = family
        transport.banner_timeout = transport.auth_timeout = CONNECT_SECONDS
        transport.start_client(timeout=CONNECT_SECONDS)
        _compare(address, transport.get_remote_server_key().asbytes())
    except IncompatiblePeer:
        transport.close()
        return None
    except (SSHException, OSError, EOFError) as error:
        if transport is not None:
            transport.close()
        raise _unreachable(address, error) from None
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(KEEP_ALIVE_SECONDS)
    return transport


def import_paramiko() -> Any:
    try:
        import paramiko
    except ImportError:
        raise OperationFailed(
            "paramiko is not installed.", "Install it: pip install paramiko", permanent=True
        ) from None
    # It writes a traceback for each connection that fails. Who asked for the connection is told in a sentence.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    return paramiko


def _socket(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), CONNECT_SECONDS)


def _unreachable(address: Address, error: Exception) -> OperationFailed:
    if isinstance(error, socket.gaierror):
        return Lost(f"The name {address.host} cannot be resolved.", NETWORK)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "it does not answer as SSH"
    return Lost(f"{address.server} cannot be reached: {reason}.", NETWORK)


def _compare(address: Address, offered: bytes) -> None:
    """Raises Changed unless `offered` is one of the keys that are expected."""
    shown = fingerprint(offered)
    for line in address.host_keys:
        known = key_of(line)
        expected = fingerprint(known[1]) if known else line.strip()
        if hmac.compare_digest(expected.encode(), shown.encode()):
            return
    kind = offered[4 : 4 + int.from_bytes(offered[:4], "big")].decode(errors="replace")
    if not address.host_keys:
        raise Changed(
            f"The host key of {address.server} is not known yet. It offers {kind} {shown}.",
            "Compare it on the server (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then enter it.",
            permanent=True,
        )
    raise Changed(
        f"{address.server} offers another host key than the one that is expected: {kind} {shown}.",
        "Nothing was sent to it. Ask whoever runs the server whether its key was changed, compare, then enter "
        "the new one.",
        permanent=True,
    )


def _signed_in(transport: Any, address: Address) -> Session:
    from paramiko import SSHException

    try:
        _authenticate(transport, address)
        channel = transport.open_session(window_size=WINDOW, timeout=CONNECT_SECONDS)
        channel.settimeout(ANSWER_SECONDS)
        channel.invoke_subsystem("sftp")
        return Session(channel)
    except (SSHException, OSError, EOFError):
        raise OperationFailed(
            f"{address.server} accepts {address.user}, but offers no SFTP.",
            "Turn the subsystem on in sshd_config: Subsystem sftp internal-sftp. If it has too many sessions, wait.",
        ) from None
    except Gone as error:
        raise Lost(f"{address.server} cannot be used: {error}.", NETWORK) from None


def _authenticate(transport: Any, address: Address) -> None:
    from paramiko import AuthenticationException

    password, private, passphrase = (
        resolve(reference) for reference in (address.password, address.private_key, address.passphrase)
    )
    if not password and not private:
        raise OperationFailed(
            "There is neither a password nor a key to sign in with.", SIGN_IN, permanent=True
        )
    try:
        if private:
            transport.auth_publickey(address.user, _private_key(private, passphrase))
        else:
            transport.auth_password(address.user, password.reveal())
    except AuthenticationException:
        raise OperationFailed(
            f"{address.server} does not let {address.user} in.", SIGN_IN, permanent=True
        ) from None


def _private_key(private: Secret, passphrase: Secret) -> Any:
    """Of any kind: the file does not say which in words that are worth reading."""
    from paramiko import ECDSAKey, Ed25519Key, PasswordRequiredException, RSAKey, SSHException

    for kind in (Ed25519Key, ECDSAKey, RSAKey):
        try:
            # An editor's or a variable's missing last line break makes the key unreadable.
            return kind.from_private_key(io.StringIO(private.reveal() + "\n"), passphrase.reveal() or None)
        except PasswordRequiredException:
            raise OperationFailed(
                "The private key has a passphrase.", "Give it, too.", permanent=True
            ) from None
        except (SSHException, ValueError, IndexError, TypeError):
            continue
    raise OperationFailed(
        "The private key cannot be read, or its passphrase is wrong.",
        "It has to be an Ed25519, ECDSA or RSA key as ssh-keygen writes it.",
        permanent=True,
    )


@contextmanager
def explained(what: str, key: str | None = None) -> Iterator[None]:
    """Turn the server's errors into OperationFailed, or into NotThere where `key` was looked for and is absent."""
    try:
        yield
    except Gone as error:
        raise Lost(f"{what}: {error}.", NETWORK) from None
    except Refused as error:
        if key is not None and error.code == NO_SUCH_FILE:
            raise NotThere(f"{key} is not there.", permanent=True) from None
        sentence, hint = MEANINGS.get(error.code, (f"the server refuses it ({error.code})", ""))
        raise OperationFailed(f"{what}: {sentence}.", hint, permanent=error.code != FAILURE) from None


MEANINGS = {
    NO_SUCH_FILE: ("there is no such directory", "Look whether the server's disk is mounted."),
    DENIED: ("permission denied", RIGHTS),
    FAILURE: (
        "the server reports a failure without a reason",
        "Look at its disk, its quota, and its log (journalctl -u ssh).",
    ),
    UNSUPPORTED: ("the server does not know this request", "Use a server like OpenSSH's."),
}
