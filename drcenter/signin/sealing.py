"""Keeps the secrets of second factors unreadable in the database, with a key made from the secret key."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


def sealed(text: str) -> str:
    return _keys().encrypt(text.encode()).decode()


def opened(token: str) -> str:
    """The text. Raises ValidationError, which a form shows, when it was sealed with another secret key."""
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken:
        raise ValidationError(
            _(
                "This factor cannot be read any more: the panel's secret key was changed. "
                "On the panel's machine: manage.py sign-in reset NAME."
            )
        ) from None


def _keys() -> MultiFernet:
    return MultiFernet(
        [_key(str(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def _key(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"drcenter second factors")
    return Fernet(base64.urlsafe_b64encode(derived.derive(secret.encode())))
