"""The row that every long act runs as."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class JobsConfig(AppConfig):
    name = "drcenter.jobs"
    verbose_name = _("Jobs")

    def ready(self) -> None:
        from drcenter.jobs.dispatch import send_waiting_again
        from drcenter.jobs.prune import prune
        from drcenter.jobs.pulse import send_pulses
        from drcenter.jobs.reap import reap
        from drcenter.jobs.registry import register_tick
        from drcenter.jobs.settle import settle_rest

        register_tick("jobs.reap", reap)
        register_tick("jobs.settle", settle_rest)
        register_tick("jobs.dispatch", send_waiting_again)
        register_tick("jobs.pulse", send_pulses)
        register_tick("jobs.prune", prune)
