"""What every response passes through."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Unfold's Alpine evaluates expressions, hence 'unsafe-eval'; inline scripts stay forbidden (DESIGN.md §6a).
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


class ContentSecurityPolicy:
    """Sets the Content-Security-Policy of every page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
