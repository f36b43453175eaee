"""Incidents: actions so far; probes, runbooks and what follows come with their issue."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IncidentsConfig(AppConfig):
    name = "incidents"
    verbose_name = _("Incidents")

    def ready(self) -> None:
        from drcenter.jobs.registry import register_kind
        from incidents import run_action

        register_kind(run_action.KIND, run_action.action_job, ended=run_action.ended)
