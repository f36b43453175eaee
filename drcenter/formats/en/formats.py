"""Dates of the English panel: no "10 p.m." at three in the morning, no guessing which number is the month."""

DATETIME_FORMAT = "j M Y, H:i"
SHORT_DATETIME_FORMAT = "j M Y, H:i"
DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i:s"
