"""The project's own app configurations."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class DrcenterConfig(AppConfig):
    """Holds the commands that belong to no app."""

    name = "drcenter"


class PanelConfig(AdminConfig):
    """Django's admin, with our site as its default."""

    default_site = "drcenter.admin_site.PanelSite"
