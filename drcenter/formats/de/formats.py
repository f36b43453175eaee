"""Dates of the German panel."""

DATETIME_FORMAT = "j. M Y, H:i"
SHORT_DATETIME_FORMAT = "d.m.Y H:i"
DATE_FORMAT = "j. M Y"
TIME_FORMAT = "H:i:s"
