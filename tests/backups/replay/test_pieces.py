"""What of a statement concerns a database."""

import pytest

from backups.replay.binlog import Statement
from backups.replay.pieces import ACCOUNTS, mentions


@pytest.mark.parametrize(
    ("text", "concerns"),
    [
        ("TRUNCATE shop.orders", True),
        ("TRUNCATE `shop`.`orders`", True),
        ("truncate Shop . orders", True),
        ("DROP DATABASE shop", True),
        ("DROP DATABASE IF EXISTS `shop`", True),
        ("RENAME TABLE other.a TO shop.a", True),
        ("DROP DATABASE shop_old", False),
        ("TRUNCATE shop_old.orders", False),
        ("TRUNCATE workshop.orders", False),
        ("TRUNCATE `workshop`.orders", False),
        ("TRUNCATE other.shop", False),
        ("CREATE TABLE shop (id INT)", False),
    ],
)
def test_a_statement_concerns_the_database_that_it_names(text: str, concerns: bool) -> None:
    assert mentions(Statement(text, "other", 0, 0), "shop") is concerns


def test_a_strange_name_is_found_as_it_is_quoted() -> None:
    assert mentions(Statement("TRUNCATE `a``b-1`.t", "", 0, 0), "a`b-1")


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("GRANT SELECT ON shop.* TO a@b", True),
        ("/* from a tool */ CREATE OR REPLACE USER a@b", True),
        ("SET PASSWORD FOR a@b = 'x'", True),
        ("FLUSH PRIVILEGES", True),
        ("CREATE TABLE user (id INT)", False),
        ("DROP TABLE grants", False),
    ],
)
def test_statements_on_accounts(text: str, account: bool) -> None:
    assert bool(ACCOUNTS.match(text)) is account
