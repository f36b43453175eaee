"""The status of the backups for monitoring: docs/api.md."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from backups.status import report
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret, resolve


@never_cache
@require_safe
def backup_status(request: HttpRequest) -> HttpResponse:
    """JSON of `report`. 200 also when something is not ok, unless `?strict=1` asks for 503 then."""
    if refusal := _refusal(request):
        return refusal
    found = report(timezone.now())
    strict = request.GET.get("strict") == "1"
    return JsonResponse(found, status=503 if strict and not found["ok"] else 200)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """None for who may read it. Without a token nobody may: sets, names and gaps are of use to an attacker."""
    try:
        token = resolve(settings.API_TOKEN)
    except OperationFailed as error:
        return JsonResponse({"error": str(error)}, status=403)
    if not token:
        text = _("Set DRC_API_TOKEN_REFERENCE to env:NAME or file:/path of a token, and restart the panel.")
        return JsonResponse({"error": text}, status=403)
    if _bears(request, token):
        return None
    text = _("Send the token: Authorization: Bearer …")
    return JsonResponse({"error": text}, status=401, headers={"WWW-Authenticate": "Bearer"})


def _bears(request: HttpRequest, token: Secret) -> bool:
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    # Compared as bytes: a header may hold characters that a text comparison refuses.
    same = hmac.compare_digest(given.strip().encode(errors="replace"), token.reveal().encode())
    return scheme.lower() == "bearer" and same
