"""Sizes for people: one unit everywhere, in powers of 1024 and named so, as `restore.sh` and `RESTORE.md` say them."""

from django.utils.formats import number_format

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int | float | None) -> str:
    """Bytes in the largest unit below them, in the numbers of the active language: "1.4 GiB", "512 B"."""
    value, unit = float(count or 0), "B"
    for larger in UNITS:
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{number_format(round(value, 1), 0 if unit == 'B' else 1)} {unit}"
