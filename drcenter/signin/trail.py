"""What the audit trail says of people who come in, or try to."""

import logging
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.core import context
from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.signin.address import client_address

log = logging.getLogger(__name__)
SIGN_IN = "signin"
SECOND_FACTOR = "signin.second_factor"
FACTOR_ADDED = "signin.factor_added"
FACTOR_REMOVED = "signin.factor_removed"
# Nobody's name: what was typed may be a password in the wrong field.
SOMEBODY = "unknown"


def address_of(request: HttpRequest) -> str:
    """The client's address; a proxy's word counts only where DRC_TRUSTED_PROXIES names the proxy."""
    from django.conf import settings

    peer = str(request.META.get("REMOTE_ADDR") or "")
    return client_address(peer, request.headers.get("X-Forwarded-For", ""), settings.TRUSTED_PROXIES)


def signed_in(request: HttpRequest, user: User) -> None:
    how = [_method(one) for one in get_authentication_records(request, user)]
    _tell(request, user, SIGN_IN, Result.DONE, how=how)


def failed(request: HttpRequest, name: str) -> None:
    """A wrong password. A name that no user has is not kept."""
    user = User.objects.filter(username=name).first()
    _tell(request, user, SIGN_IN, Result.FAILED, reason="wrong name or password")


def refused(request: HttpRequest, user: User, reason: str) -> None:
    _tell(request, user, SIGN_IN, Result.REFUSED, reason=reason)


def factor_failed(request: HttpRequest, user: User | None, kind: str) -> None:
    _tell(request, user, SECOND_FACTOR, Result.FAILED, kind=kind)


def _tell(request: HttpRequest, user: User | None, action: str, result: Result, **facts: Any) -> None:
    actor = user.get_username() if user is not None else SOMEBODY
    address = address_of(request)
    if result != Result.DONE:
        log.warning("%s %s: %s from %s", action, result, actor, address)
    with transaction.atomic():
        record(actor, action, user, result=result, address=address, **facts)


def _method(record: dict[str, Any]) -> str:
    kind = record.get("type")
    return f"{record['method']}: {kind}" if kind else str(record["method"])


# ---------------------------------------------------------------- factors


def follow_factors() -> None:
    """Called once at the start. Rows come and go in several ways: here they all pass."""
    post_save.connect(_saved, sender=Authenticator, dispatch_uid="drcenter.signin.saved")
    post_delete.connect(_deleted, sender=Authenticator, dispatch_uid="drcenter.signin.deleted")
    signals.authentication_failed.connect(_wrong_code, dispatch_uid="drcenter.signin.wrong_code")


def _saved(sender: Any, instance: Authenticator, created: bool, **kwargs: Any) -> None:
    if created:
        _tell_of_factor(FACTOR_ADDED, instance)


def _deleted(sender: Any, instance: Authenticator, **kwargs: Any) -> None:
    _tell_of_factor(FACTOR_REMOVED, instance)


def _tell_of_factor(action: str, factor: Authenticator) -> None:
    request = context.request
    facts: dict[str, Any] = {"kind": factor.type}
    actor = "shell"
    if request is not None:
        actor, facts["address"] = request.user.get_username(), address_of(request)
    with transaction.atomic():
        record(actor, action, factor.user, **facts)


def _wrong_code(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    factor_failed(request, user, "code")
