"""Rows of incidents."""

from incidents.models.action import ActionRun, PreparedAction

__all__ = ["ActionRun", "PreparedAction"]
