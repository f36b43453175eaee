"""How far the moments of the sources of a set lie apart (pure)."""

import math


def rounded_up(seconds: float) -> float:
    """The spread of moments for people: an upper bound, in tenths of a second."""
    return math.ceil(seconds * 10) / 10
