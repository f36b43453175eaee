"""Holds nothing yet: its issue builds it."""

from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
