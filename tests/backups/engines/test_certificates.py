"""The engine for certificates: files like any others, and the day on which each expires."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backups.engines.certificates import Options, Plugin
from backups.witness import differences
from drcenter.options import validated
from tests.backups.engines.taking import restore, take

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(days: float, *names: str) -> x509.Certificate:
    """A self-signed one that expires in so many days."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    built = built.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=900))
    built = built.not_valid_after(now + timedelta(days=days))
    if names:
        built = built.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return built.sign(KEY, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


@pytest.fixture
def tree(tmp_path) -> Path:
    """As Let's Encrypt keeps them: an archive, and links to the newest."""
    root = tmp_path / "letsencrypt"
    (root / "archive/shop").mkdir(parents=True)
    (root / "live/shop").mkdir(parents=True)
    (root / "archive/shop/cert1.pem").write_bytes(pem(certificate(-30, "shop.example.org")))
    (root / "archive/shop/fullchain2.pem").write_bytes(
        pem(certificate(60, "shop.example.org"), certificate(1, "ca"))
    )
    (root / "live/shop/fullchain.pem").symlink_to("../../archive/shop/fullchain2.pem")
    (root / "archive/shop/privkey2.pem").write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return root


def engine_for(tree: Path, **options) -> Plugin:
    return Plugin(validated(Options, {"path": str(tree), **options}))


def told(tree: Path, **options) -> list[str]:
    found = [one for one in engine_for(tree, **options).inspect().findings if "certificate" in one.message]
    assert not any(one.caps for one in found)
    return [one.message.partition(" on ")[0] for one in found]


def test_a_renewed_one_is_no_finding(tree):
    inspection = engine_for(tree).inspect()
    assert told(tree) == []
    day = datetime.now(UTC) + timedelta(days=60)
    assert inspection.facts["certificates"] == f"shop.example.org: {day:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("days", "limit", "expected"),
    [
        (20, 21, ["The certificate of api.example.org, www.example.org expires"]),
        (22, 21, []),
        (-1, 21, ["The certificate of api.example.org, www.example.org expired"]),
        (-1, 0, ["The certificate of api.example.org, www.example.org expired"]),
        (5, 0, []),
    ],
)
def test_one_that_expires_soon_is_a_finding(tree, days, limit, expected):
    one = certificate(days, "api.example.org", "www.example.org")
    (tree / "api.crt").write_bytes(one.public_bytes(serialization.Encoding.DER))
    assert told(tree, warn_days=limit) == expected


def test_without_names_its_subject_is_told(tree):
    (tree / "old.PEM").write_bytes(pem(certificate(2)))
    assert told(tree) == ["The certificate of CN=shop expires"]


def test_what_is_no_certificate_is_stored_and_skipped(tree, tmp_path):
    (tree / "junk.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n")
    (tree / "empty.crt").write_bytes(b"")
    (tree / "binary.der").write_bytes(bytes(range(256)))
    engine = engine_for(tree)
    assert told(tree) == []
    taken = take(engine)
    (tmp_path / "w").mkdir()
    with engine.scratch(tmp_path / "w", engine.inspect().facts) as place:
        restore(place, taken)
        assert differences(taken.witness, place.witness()) == []
        assert (Path(place.options["path"]) / "junk.pem").exists()
