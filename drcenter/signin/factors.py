"""The second factors of a person: what they have, and what they used in this session."""

from typing import Any

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.core import context
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.utils.translation import gettext as _

from drcenter.audit.record import record

Type = Authenticator.Type
# Recovery codes stand in for a factor; they are none.
FACTORS = (Type.TOTP, Type.WEBAUTHN)


def has_factor(user: User) -> bool:
    return bool(Authenticator.objects.filter(user=user, type__in=FACTORS).exists())


def used_here(request: HttpRequest) -> bool:
    """A second factor, or a passkey, was shown in this session."""
    records = get_authentication_records(request, request.user)  # type: ignore[arg-type]
    return any(record.get("method") == "mfa" for record in records)


def follow() -> None:
    """Called once at the start."""
    post_save.connect(_count_as_used, sender=Authenticator, dispatch_uid="drcenter.signin.count_as_used")


def _count_as_used(sender: Any, instance: Authenticator, created: bool, **kwargs: Any) -> None:
    """Whoever has just set up a factor has shown it."""
    request = context.request
    if created and instance.type in FACTORS and request is not None and request.user == instance.user:
        record_authentication(request, instance.user, "mfa", id=instance.pk, type=instance.type)


def described(user: User) -> str:
    """What somebody has, in words."""
    kinds = list(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    parts = [_("authenticator app")] if Type.TOTP in kinds else []
    if keys := kinds.count(Type.WEBAUTHN):
        parts.append(f"{_('passkeys')}: {keys}")
    return ", ".join(parts) or _("password only")


def remove_all(user: User, actor: str) -> int:
    """Take all factors and codes from somebody who has lost them; how many factors that were."""
    with transaction.atomic():
        factors = Authenticator.objects.filter(user=user)
        count = int(factors.filter(type__in=FACTORS).count())
        factors.delete()
        record(actor, "signin.reset", user, factors=count)
    return count
