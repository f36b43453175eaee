"""allauth's pages in the panel's dress."""

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from drcenter.panel.widgets import dress
from drcenter.signin.factors import has_factor

View = Callable[..., HttpResponseBase]


def dressed(view: View) -> View:
    """`view` with what the panel's templates need, and its forms in the panel's widgets."""

    @never_cache
    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse) and not response.is_rendered:
            own = response.context_data or {}
            # Unfold would link to the page of a factor, which the panel does not have.
            own.pop("object", None)
            response.context_data = {**admin.site.each_context(request), **_about(request), **own}
            for form in own.values():
                if isinstance(form, forms.Form):
                    _dress(form)
        return response

    return page


def _about(request: HttpRequest) -> dict[str, Any]:
    missing = settings.REQUIRE_MFA and request.user.is_authenticated and not has_factor(request.user)
    return {
        "passkeys_possible": passkeys_possible(request.is_secure(), request.get_host()),
        "factor_wanted": missing,
        "title": _("Sign-in and second factor"),
    }


def _dress(form: forms.Form) -> None:
    for field in form.fields.values():
        dress(field)
        field.widget.attrs.pop("placeholder", None)


def passkeys_possible(secure: bool, host: str) -> bool:
    """Browsers bind passkeys to a name, over HTTPS; only for localhost they go without."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return secure
    return False
