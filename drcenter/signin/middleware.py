"""Nobody works in the panel with less than was asked of them."""

from collections.abc import Callable

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from drcenter.signin import factors

# Stop polling, and go to the page that is named: htmx would put it into the middle of another one.
STOP_POLLING = 286


class SecondFactor:
    """Whoever has a second factor has shown it in this session; with DRC_REQUIRE_MFA, whoever has none adds one.

    It stands before every page but those of signing in and out, so that no second way in, and no session
    from before the factor was added, goes around it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.free = (
            reverse("account_login").removesuffix("login/"),
            reverse("admin:logout"),
            reverse("set_language"),
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        way = self._way(request)
        if way is None:
            return self.get_response(request)
        if request.headers.get("HX-Request"):
            return HttpResponse(status=STOP_POLLING, headers={"HX-Redirect": way})
        return HttpResponseRedirect(way)

    def _way(self, request: HttpRequest) -> str | None:
        """Where to go first; None: nothing stands in the way."""
        user = request.user
        if not user.is_authenticated or request.path.startswith(self.free):
            return None
        if not factors.has_factor(user):
            return reverse("mfa_index") if settings.REQUIRE_MFA else None
        if factors.used_here(request):
            return None
        methods = get_adapter().get_reauthentication_methods(user)
        page = next(method["url"] for method in methods if method["id"].startswith("mfa"))
        return f"{page}?{urlencode({'next': request.get_full_path() if request.method == 'GET' else '/'})}"
