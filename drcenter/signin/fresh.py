"""Somebody has shown just now who they are, and not only hours ago when they signed in."""

import time

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import get_authentication_records
from django.http import HttpRequest
from django.utils.http import urlencode

from drcenter.signin.factors import has_factor


def is_fresh(request: HttpRequest) -> bool:
    """The password, or for whoever has a second factor that one, was shown within the last minutes.

    How many: allauth's ACCOUNT_REAUTHENTICATION_TIMEOUT, 5 by default.
    """
    records = get_authentication_records(request, request.user)  # type: ignore[arg-type]
    if has_factor(request.user):  # type: ignore[arg-type]
        records = [record for record in records if record.get("method") == "mfa"]
    return any(0 <= time.time() - record["at"] < app_settings.REAUTHENTICATION_TIMEOUT for record in records)


def page_to_confirm(request: HttpRequest, back: str) -> str:
    """Where the person shows who they are, and comes back from to `back`."""
    methods = get_adapter().get_reauthentication_methods(request.user)
    wanted = "mfa" if has_factor(request.user) else "reauthenticate"  # type: ignore[arg-type]
    page = next(method["url"] for method in methods if method["id"].startswith(wanted))
    return f"{page}?{urlencode({'next': back})}"
