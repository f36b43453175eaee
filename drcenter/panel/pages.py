"""The bases of all our ModelAdmins: rows that people edit, and records that only the product writes."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.admin import ModelAdmin

from drcenter.audit.record import record as audit
from drcenter.panel.deletion import Explained
from drcenter.panel.look import Record

# What htmx takes as "stop polling".
STOP_POLLING = 286


def address(row: models.Model, page: str = "change") -> str:
    """The panel's page of a row."""
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[quote(row.pk)])


class Audited:
    """Writes an audit entry for each row that somebody adds, changes or deletes in the panel.

    Django calls these inside the transaction of the change (DESIGN.md §5.9).
    """

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._tell(request, "added", obj, {})
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._tell(request, "changed", obj, {"what": message})
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[models.Model]) -> Any:
        with transaction.atomic():
            for obj in queryset:
                self._tell(request, "deleted", obj, {})
            return super().log_deletions(request, queryset)  # type: ignore[misc]

    def _tell(self, request: HttpRequest, verb: str, obj: models.Model, facts: dict[str, Any]) -> None:
        meta = obj._meta
        audit(request.user.get_username(), f"{meta.app_label}.{meta.model_name}.{verb}", obj, **facts)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The audit trail of the row, which tells more than Django's own history."""
        meta = self.model._meta  # type: ignore[attr-defined]
        query = urlencode({"object_type__exact": meta.label, "object_id__exact": unquote(object_id)})
        return HttpResponseRedirect(f"{reverse('admin:audit_entry_changelist')}?{query}")


class PanelAdmin(Explained, Audited, ModelAdmin):
    """Rows that people edit, with what is known of them above the form.

    A subclass may say in `record` what stands there. While `Record.live` is True, the page asks for that
    part again every two seconds, and stops when the answer says so.
    """

    list_filter_submit = True
    warn_unsaved_form = True
    show_full_result_count = False
    list_per_page = 50
    change_form_outer_before_template = "panel/record_region.html"
    # Shown where the list is empty: what to do next.
    empty_hint: Any = ""

    def record(self, request: HttpRequest, obj: Any) -> Record | None:
        return None

    def zone(self, obj: Any) -> str | None:
        """The time zone in which this page shows times; None: the panel's."""
        return None

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_live"
        return [path("<path:object_id>/live/", self.live_view, name=name), *super().get_urls()]

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The changing part of the page alone; its status is 286 once nothing will change any more."""
        if not request.user.is_authenticated:
            return to_login(request)
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        context = self.record_context(request, obj)
        record = context["record"]
        status = 200 if record is not None and record.live else STOP_POLLING
        response = TemplateResponse(request, "panel/record_body.html", context, status=status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def record_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        if not (self.admin_site.has_permission(request) and self.has_view_permission(request, obj)):
            raise PermissionDenied
        return {
            "record": self.record(request, obj),
            "zone": self.zone(obj) or settings.DISPLAY_TIME_ZONE,
            "live_url": address(obj, "live"),
        }

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra = dict(extra_context or {})
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        if obj is not None:
            extra |= self.record_context(request, obj)
        response: HttpResponse = super().changeform_view(request, object_id, form_url, extra)
        return response


class RecordAdmin(PanelAdmin):
    """Rows that the product writes: people read them, nobody adds, changes or deletes them here."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if object_id is None or request.method != "GET":
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        context = {
            **self.admin_site.each_context(request),
            "title": str(obj),
            "opts": self.opts,
            "original": obj,
            "media": self.media,
            **self.record_context(request, obj),
        }
        return TemplateResponse(request, "panel/record.html", context)


def to_login(request: HttpRequest) -> HttpResponse:
    """For a fragment whose session has ended: a login form inside of a page would be worse than going there."""
    target = f"{reverse('admin:login')}?{urlencode({'next': request.headers.get('HX-Current-URL', '')})}"
    return HttpResponse(status=STOP_POLLING, headers={"HX-Redirect": target})
