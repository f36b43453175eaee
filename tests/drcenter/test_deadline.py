"""A place that does not answer does not hang the panel."""

import threading
import time

import pytest
from django.utils import translation

from drcenter.deadline import HANGING, within
from drcenter.errors import OperationFailed


def test_what_is_returned_and_raised_in_time_passes_through():
    assert within(lambda: 7) == 7
    assert within(lambda: None) is None

    def fail() -> None:
        raise OperationFailed("No route.", "Look at the cable.")

    with pytest.raises(OperationFailed, match="No route"):
        within(fail)


def test_what_hangs_is_given_up_and_others_still_get_through():
    ended = threading.Event()
    began = time.monotonic()
    for _number in range(HANGING):
        with pytest.raises(OperationFailed, match="No answer within 0 s"):
            within(lambda: ended.wait(30), seconds=0.05)
    with pytest.raises(OperationFailed, match="do not answer yet"):
        within(lambda: 7)
    assert time.monotonic() - began < 5
    ended.set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert within(lambda: 7) == 7
            break
        except OperationFailed:
            time.sleep(0.02)
    else:
        pytest.fail("its places were not given back")


def test_the_language_goes_with_it():
    with translation.override("de"):
        assert within(lambda: translation.gettext("Save")) == "Speichern"
