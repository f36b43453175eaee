"""Protected systems, their targets and contacts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SystemsConfig(AppConfig):
    name = "drcenter.systems"
    verbose_name = _("Systems")
