"""Pages of incidents in the panel."""

from incidents.admin import actions  # noqa: F401 - registers its pages
