"""One unit for sizes everywhere, in the numbers of the reader's language."""

import pytest
from django.utils import translation

from backups.guides.guide import size_text
from drcenter import sizes

CASES = [
    (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5_000_000, "4.8 MiB"), (1 << 30, "1.0 GiB"),
    (3 << 40, "3.0 TiB"), (None, "0 B"),
]  # fmt: skip


@pytest.mark.parametrize(("count", "text"), CASES)
def test_in_english(count, text) -> None:
    with translation.override("en"):
        assert sizes.size(count) == text


def test_in_german() -> None:
    with translation.override("de"):
        assert sizes.size(5_000_000) == "4,8 MiB"


@pytest.mark.parametrize("count", [0, 17, 1024, 123_456, 5_000_000, 7 << 30])
def test_as_the_guide_in_every_set_says_it(count) -> None:
    with translation.override("en"):
        assert sizes.size(count) == size_text(count)
