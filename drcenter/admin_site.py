"""The control panel's site."""

from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.i18n import JavaScriptCatalog
from unfold.sites import UnfoldAdminSite

# Pages of the queue can call any function by name (DESIGN.md §6), those of allauth show factors: they stay out.
LEFT_OUT = {"django_q", "account", "mfa"}


class PanelSite(UnfoldAdminSite):
    """Unfold's site without other people's pages, and with one way in: that of drcenter.signin."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models = model_or_iterable if isinstance(model_or_iterable, (list, tuple)) else [model_or_iterable]
        kept = [model for model in models if model._meta.app_label not in LEFT_OUT]
        if kept:
            super().register(kept, admin_class, **options)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """No second form beside the one that asks for the second factor: it leads there."""
        wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
        if not url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure()):
            wanted = reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(wanted)
        if not self.has_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(wanted)

    def i18n_javascript(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:  # type: ignore[override]
        """With our German for what Django's has none."""
        return JavaScriptCatalog.as_view(packages=["django.contrib.admin", "drcenter"])(request)

    def extra_urls(self) -> list[URLPattern]:
        # Asked for when the addresses are built, long after all apps are ready.
        from drcenter import dashboard

        return [path("live/", dashboard.live, name="live")]
