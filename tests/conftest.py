"""What all tests share."""

from datetime import UTC, datetime

import pytest
from django.utils import translation

from tests.append_only import let_tests_flush

pytest_plugins = ["tests.cast"]

let_tests_flush()


@pytest.fixture(autouse=True)
def no_language_left_over():
    """A page that was asked for in German leaves its language to the thread."""
    yield
    translation.deactivate()


@pytest.fixture
def time_machine(time_machine):
    """The clock begins at the real time, and goes on: `shift()` it."""
    time_machine.move_to(datetime.now(UTC))
    return time_machine


@pytest.fixture(autouse=True)
def _without_own_backup(settings):
    """The panel's own database is protected in the tests that are about that."""
    settings.PROTECT_SELF = False
