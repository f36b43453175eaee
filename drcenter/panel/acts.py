"""Acts with an effect: GET shows what will happen, POST does it.

Django's admin and Unfold run their actions on a plain GET, or without asking for a permission; nothing that
has an effect goes that way (DESIGN.md §6a).
"""

from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters

from drcenter.audit.models import Result
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.panel.look import Fact, Notice
from drcenter.panel.pages import address
from drcenter.panel.widgets import PanelForm
from drcenter.permissions import may


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ActPage(View):
    """The page that asks once more, and does it. A subclass says what; `perform` returns where to go then.

    Whoever lacks `permission` gets 403, and a POST without it leaves an entry with the result *refused*.
    An OperationFailed of `perform` is shown on the page, which keeps what was typed.
    """

    permission: ClassVar[str]
    # The action of the audit entry of a refused try.
    action: ClassVar[str]
    form_class: ClassVar[type[PanelForm]] = PanelForm
    template: ClassVar[str] = "panel/act.html"
    # Red button, for what overwrites or stops something.
    dangerous: ClassVar[bool] = False
    asks: ClassVar[bool] = True
    model_admin: Any = None

    # ------------------------------------------------------------------ what a subclass says

    def title(self) -> str:
        raise NotImplementedError

    def submit_label(self) -> str:
        raise NotImplementedError

    def harmless(self) -> tuple[str, str] | None:
        """A second button, for what changes nothing: the name that it posts, and its label."""
        return None

    def facts(self) -> list[Fact]:
        """What this is about: names, places, hosts."""
        return []

    def steps(self) -> list[str]:
        """What will happen, in order."""
        return []

    def notices(self) -> list[Notice]:
        return []

    def back(self) -> str:
        """Where "Back" leads."""
        return address(self.row)

    def form_arguments(self) -> dict[str, Any]:
        return {}

    def perform(self, form: Any) -> str:
        """Do it; returns the address to go on to. Raises OperationFailed."""
        raise NotImplementedError

    # ------------------------------------------------------------------ how it goes

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        self.row = self.model_admin.get_object(request, str(kwargs["pk"]))
        if self.row is None:
            raise Http404
        if not self.permitted(request):
            self._refuse(request)
        response: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[assignment]
        return response

    def permitted(self, request: HttpRequest) -> bool:
        """Seeing the row and the right to act on it: one without the other is not enough."""
        seen: bool = self.model_admin.has_view_or_change_permission(request, self.row)
        return seen and may(request, self.permission)

    def _refuse(self, request: HttpRequest) -> None:
        if request.method == "POST":
            with transaction.atomic():
                record(
                    self.actor, self.action, self.row, result=Result.REFUSED, reason="the right is missing"
                )
        raise PermissionDenied

    @property
    def actor(self) -> str:
        return self.request.user.get_username()

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.asks:
            return HttpResponseNotAllowed(["POST"])
        return self._page(self.form_class(**self.form_arguments()))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        form = self.form_class(request.POST, request.FILES, **self.form_arguments())
        if not form.is_valid():
            return self._page(form)
        try:
            return HttpResponseRedirect(self.perform(form))
        except OperationFailed as error:
            return self.failed(form, error)

    def failed(self, form: Any, error: OperationFailed) -> HttpResponse:
        if not self.asks:
            messages.error(self.request, str(error))
            return HttpResponseRedirect(address(self.row))
        return self._page(form, Notice(error.message, error.hint))

    def _page(self, form: Any, error: Notice | None = None) -> HttpResponse:
        context = {
            **self.model_admin.admin_site.each_context(self.request),
            "title": self.title(),
            "opts": self.model_admin.opts,
            "original": self.row,
            "back": self.back(),
            "act": self,
            "form": form,
            "error": error,
            **self.context(form),
        }
        return TemplateResponse(self.request, self.template, context)

    def context(self, form: Any) -> dict[str, Any]:
        """More for the template."""
        return {"facts": self.facts(), "steps": self.steps(), "notices": self.notices()}
