"""Holds nothing yet: its issue builds it."""

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
