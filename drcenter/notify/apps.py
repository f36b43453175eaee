"""Telling people: channels and deliveries."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotifyConfig(AppConfig):
    name = "drcenter.notify"
    verbose_name = _("Notifications")

    def ready(self) -> None:
        from drcenter.jobs.registry import register_kind, register_tick
        from drcenter.notify.deliver import KIND, deliver_job, enqueue_due

        register_kind(KIND, deliver_job, cluster="short")
        register_tick("notify.retry", enqueue_due)
