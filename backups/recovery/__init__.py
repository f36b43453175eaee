"""Restoring: beside, and over production."""
