"""Whose signatures are believed: our own key's, and those of keys that were ours on other machines."""

from dataclasses import dataclass, field

from backups.models import Signer
from backups.storage import publish, signing


@dataclass
class Trust:
    """Public keys by fingerprint: what they signed is ours."""

    keys: dict[str, str] = field(default_factory=dict)

    def add(self, pem: str) -> str:
        """Returns the fingerprint. Raises OperationFailed when it is no key."""
        fingerprint = signing.fingerprint(pem)
        self.keys[fingerprint] = pem
        return fingerprint

    def signed(self, fingerprint: str, content: bytes, signature: bytes) -> bool:
        """False for a key that is not trusted, whatever the signature."""
        pem = self.keys.get(fingerprint)
        return pem is not None and signing.verify(pem, content, signature)


def trusted() -> Trust:
    """What this installation trusts now."""
    found = Trust()
    found.add(publish.signing_key().public_pem)
    for pem in Signer.objects.values_list("public_pem", flat=True):
        found.add(pem)
    return found
