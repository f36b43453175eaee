"""Lets tests with real transactions empty the tables: the trail's triggers refuse that, as they should."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from django.db import connection
from django.test import TransactionTestCase

TRIGGERS = import_module("drcenter.audit.migrations.0002_append_only")


@contextmanager
def removed() -> Iterator[None]:
    """The trail without its triggers. Outside of this, a test sees them exactly as an installation does."""
    statements = (
        TRIGGERS.SQLITE
        if connection.vendor == "sqlite"
        else [s for s in TRIGGERS.POSTGRESQL if "CREATE FUNCTION" not in s]
    )
    names = [statement.split()[2] for statement in statements if statement.startswith("CREATE TRIGGER")]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(
                f"DROP TRIGGER {name}" + (" ON audit_entry" if connection.vendor != "sqlite" else "")
            )
        yield
        for statement in statements:
            cursor.execute(statement)


def let_tests_flush() -> None:
    """Make every TransactionTestCase (pytest-django's transactional_db is one) flush without the triggers."""
    flush = TransactionTestCase._fixture_teardown

    def teardown(self: TransactionTestCase) -> None:
        with removed():
            flush(self)

    TransactionTestCase._fixture_teardown = teardown
