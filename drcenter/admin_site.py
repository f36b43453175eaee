"""The control panel's site."""

from typing import Any

from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

# Pages of the queue can call any function by name (DESIGN.md §6): they stay out.
LEFT_OUT = {"django_q"}


class PanelSite(UnfoldAdminSite):
    """Unfold's site without the queue's own pages."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models = model_or_iterable if isinstance(model_or_iterable, (list, tuple)) else [model_or_iterable]
        kept = [model for model in models if model._meta.app_label not in LEFT_OUT]
        if kept:
            super().register(kept, admin_class, **options)

    def extra_urls(self) -> list[URLPattern]:
        # Asked for when the addresses are built, long after all apps are ready.
        from drcenter import dashboard

        return [path("live/", dashboard.live, name="live")]
