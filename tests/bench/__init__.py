"""Measures beside the tools that one would take instead: `make bench`."""
