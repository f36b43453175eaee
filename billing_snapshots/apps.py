"""Holds nothing yet: its issue builds it."""

from django.apps import AppConfig


class BillingSnapshotsConfig(AppConfig):
    name = "billing_snapshots"
