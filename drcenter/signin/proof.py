"""Somebody shows on the shell which user of the panel they are: everybody there may be the same user of the machine."""

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret
from drcenter.signin.factors import has_factor

# Codes that can be typed; a passkey needs a browser.
TYPED = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)
ACTION = "signin.shell"


def prove(name: str, password: Secret, code: str, *, actor: str) -> User:
    """The user of the panel with this name and password, and with this code where they have a second factor.

    Each try is recorded. Raises OperationFailed, which does not say which of them was wrong.
    """
    user = User.objects.filter(username=name).first()
    found = authenticate(None, username=name, password=password.reveal())
    good = user is not None and found is not None and found.pk == user.pk and user.is_active and user.is_staff
    if good and user is not None and has_factor(user):
        good = _code_fits(user, code)
    with transaction.atomic():
        record(actor, ACTION, user, result=Result.DONE if good else Result.FAILED)
    if not good or user is None:
        raise OperationFailed(
            _("Name, password or code do not fit."),
            _("It is the login of the panel, with a code of the authenticator app if there is one."),
            permanent=True,
        )
    return user


def needs_code(name: str) -> bool:
    """Whether a code is to be asked for; also for a name that nobody has, which is not told apart."""
    user = User.objects.filter(username=name).first()
    return user is None or has_factor(user)


def _code_fits(user: User, code: str) -> bool:
    """A code is used up by this."""
    for factor in Authenticator.objects.filter(user=user, type__in=TYPED):
        way = TOTP if factor.type == Authenticator.Type.TOTP else RecoveryCodes
        if code and way(factor).validate_code(code):
            return True
    return False
