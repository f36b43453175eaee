"""Commands compared whole, and the pure halves of the engine: columns, grants, rights, rows."""

import pytest

from backups.engines import _mariadb_rights as rights
from backups.engines._mariadb_accounts import Grant, like_database, merge, parse_grant
from backups.engines._mariadb_catalog import Table, split_account
from backups.engines._mariadb_columns import Column, quoted, row_expressions, witness_expression
from backups.engines._mariadb_commands import (
    MARKER,
    VOLATILE,
    Extent,
    Login,
    Selection,
    Tool,
    dump_command,
    option_file,
    restore_command,
    triggers_command,
)
from backups.engines._mariadb_floats import select_statement, stored_columns
from backups.engines._mariadb_witness import checksum_query
from drcenter.process import Command
from drcenter.secrets import Secret

PASSWORD = "s3cret \"'\\#"
LOGIN = Login("db1", 3307, "backup", Secret(PASSWORD))
MARIADB = Tool(
    "mariadb-dump", "mariadb", "10.11.19", frozenset({"--master-data", "--dump-history", "--sandbox"})
)
MYSQL = Tool("mysqldump", "mysql", "8.0.36", frozenset({"--source-data"}))
FILE = '[client]\nuser="backup"\npassword="s3cret \\"\'\\\\#"\nhost="db1"\nport="3307"\nprotocol="tcp"\nskip-ssl\n'
GENERAL = (
    "--default-character-set=utf8mb4",
    "--skip-dump-date",
    "--no-tablespaces",
    "--max-allowed-packet=1G",
)


def _whole(command: Command) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    return command.argv, dict(command.env), {name: secret.reveal() for name, secret in command.files.items()}


def test_the_dump_of_a_whole_database() -> None:
    command = dump_command(MARIADB, LOGIN, Selection("app"), Extent(position=True))
    assert _whole(command) == (
        (
            "mariadb-dump", "--defaults-file={login}", "--single-transaction", "--quick", "--hex-blob", "--triggers",
            "--routines", "--events", "--master-data=2", *GENERAL, "--", "app",
        ),
        {},
        {"login": FILE},
    )  # fmt: skip


def test_the_dump_of_tables_whose_floats_come_from_elsewhere() -> None:
    extent = Extent(history=True, triggers=False, without_rows=("a b",))
    assert dump_command(MARIADB, LOGIN, Selection("app"), extent).argv == (
        "mariadb-dump", "--defaults-file={login}", "--single-transaction", "--quick", "--hex-blob", "--skip-triggers",
        "--routines", "--events", "--dump-history", "--ignore-table-data=app.a b", *GENERAL, "--", "app",
    )  # fmt: skip
    # Of tables that are named, the tool would write the rows all the same.
    assert dump_command(MARIADB, LOGIN, Selection("app", ("a b",)), extent).argv == (
        "mariadb-dump", "--defaults-file={login}", "--single-transaction", "--quick", "--hex-blob", "--skip-triggers",
        "--skip-routines", "--skip-events", "--dump-history", "--no-data", *GENERAL, "--", "app", "a b",
    )  # fmt: skip


def test_the_triggers_alone() -> None:
    assert triggers_command(MARIADB, LOGIN, Selection("app")).argv == (
        "mariadb-dump", "--defaults-file={login}", "--skip-lock-tables", "--triggers", "--no-data", "--no-create-info",
        "--skip-routines", "--skip-events", *GENERAL, "--", "app",
    )  # fmt: skip


def test_mysqldump_of_mysql_gets_its_own_options() -> None:
    command = dump_command(MYSQL, LOGIN, Selection("app"), Extent(position=True, events=False))
    assert command.argv == (
        "mysqldump", "--defaults-file={login}", "--single-transaction", "--quick", "--hex-blob", "--triggers",
        "--routines", "--skip-events", "--source-data=2", *GENERAL, "--set-gtid-purged=OFF", "--column-statistics=0",
        "--", "app",
    )  # fmt: skip
    assert "ssl-mode=DISABLED" in option_file(LOGIN, MYSQL).reveal()


def test_the_restore() -> None:
    assert _whole(restore_command(MARIADB, LOGIN, "my app")) == (
        (
            "mariadb-dump", "--defaults-file={login}", "--default-character-set=utf8mb4", "--binary-mode", "--batch",
            "--max-allowed-packet=1G", "--sandbox", "--database=my app",
        ),
        {},
        {"login": FILE},
    )  # fmt: skip


def test_the_password_is_in_the_memory_file_only() -> None:
    for command in (
        dump_command(MARIADB, LOGIN, Selection("app"), Extent()),
        triggers_command(MARIADB, LOGIN, Selection("app")),
        restore_command(MARIADB, LOGIN, "app"),
    ):
        assert command.argv[1] == "--defaults-file={login}", "it has to be the first option"
        assert "s3cret" not in repr(command) + " ".join(command.argv) + str(command.env)
    assert "s3cret" not in repr(LOGIN)


@pytest.mark.parametrize(
    ("tls", "ca", "lines"),
    [
        ("on", "", ["ssl", "ssl-verify-server-cert=0"]),
        ("verify", "", ["ssl", "ssl-verify-server-cert=1"]),
        ("verify", "/etc/ca.pem", ["ssl", 'ssl-ca="/etc/ca.pem"', "ssl-verify-server-cert=1"]),
    ],
)
def test_tls(tls: str, ca: str, lines: list[str]) -> None:
    login = Login("db1", 3306, "u", Secret("p"), tls=tls, ca=ca)
    assert option_file(login, MARIADB).reveal().splitlines()[-len(lines) :] == lines


def test_a_socket_takes_the_place_of_host_and_port() -> None:
    text = option_file(Login("db1", 3306, "u", Secret("p"), socket="/run/x.sock"), MARIADB).reveal()
    assert 'socket="/run/x.sock"' in text
    assert 'protocol="socket"' in text
    assert "host=" not in text


def test_sections_and_lines_that_do_not_count() -> None:
    import re

    marker, volatile = re.compile(MARKER), re.compile(VOLATILE)
    match = marker.match(b"-- Table structure for table `a b`")
    assert match is not None
    assert match[1] == b"Table structure for table `a b`"
    assert marker.match(b"-- Rows of table `a`")
    assert not marker.match(b"INSERT INTO `t` VALUES ('-- Dumping data for table `x`')")
    assert volatile.match(b"-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000001', MASTER_LOG_POS=2051;")
    assert not volatile.match(b"INSERT INTO `t` VALUES (1);")


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("float", "IFNULL(`c`*1.0e0+0e0,'~')"),
        ("int", "IFNULL(`c`,'~')"),
        ("enum", "IFNULL(CAST(`c` AS UNSIGNED),'~')"),
        ("varchar", "IFNULL(HEX(`c`),'~')"),
        ("longblob", "IFNULL(MD5(`c`),'~')"),
        ("datetime", "IFNULL(`c`,'~')"),
        ("something new", "IFNULL(HEX(`c`),'~')"),
    ],
)
def test_what_the_witness_hashes(kind: str, expression: str) -> None:
    assert witness_expression(Column("c", kind)) == expression


def test_identifiers_are_quoted() -> None:
    assert quoted("a`b") == "`a``b`"


def test_neighbours_become_one_expression_and_long_values_stay_alone() -> None:
    columns = [
        Column("a", "int"),
        Column("b", "float"),
        Column("c", "longtext"),
        Column("d", "blob"),
        Column("e", "int"),
    ]
    assert row_expressions(columns) == [
        ("CONCAT_WS(',',IFNULL(`a`,'NULL'),IFNULL(CONCAT('''',`b`*1.0e0,''''),'NULL'))", False),
        ("CAST(`c` AS BINARY)", True),
        ("`d`", True),
        ("CONCAT_WS(',',IFNULL(`e`,'NULL'))", False),
    ]


PERIOD = [
    Column("id", "int"),
    Column("f", "float"),
    Column("v", "int", "VIRTUAL GENERATED"),
    Column("s", "timestamp", "STORED GENERATED"),
    Column("e", "timestamp", "STORED GENERATED"),
]


def test_which_columns_are_written() -> None:
    def names(columns: list[Column]) -> list[str]:
        return [column.name for column in columns]

    assert names(stored_columns(PERIOD, versioned=False, history=False)) == ["id", "f"]
    assert names(stored_columns(PERIOD, versioned=True, history=True)) == ["id", "f", "s", "e"]
    assert names(stored_columns(PERIOD[:2], versioned=True, history=True)) == [
        "id",
        "f",
        "row_start",
        "row_end",
    ]
    assert names(
        stored_columns([Column("n", "int", "DEFAULT_GENERATED")], versioned=False, history=False)
    ) == ["n"]


def test_old_rows_are_read_and_counted() -> None:
    table = Table("t`x", "SYSTEM VERSIONED", "InnoDB", None, 0)
    assert select_statement(table, PERIOD[:1], history=True).endswith("FROM `t``x` FOR SYSTEM_TIME ALL")
    query = checksum_query(table, PERIOD[:1])
    assert "FROM `t``x` FOR SYSTEM_TIME ALL" in query
    assert "CONCAT_WS('|',IFNULL(`id`,'~'),`row_start`,`row_end`)" in query


ME = ("app", "%")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GRANT SELECT, LOCK TABLES ON `shop`.* TO `app`@`%`", Grant(ME, "*", frozenset({"SELECT", "LOCK TABLES"}), False)),
        ("GRANT ALL PRIVILEGES ON `sh_p`.* TO `app`@`%` WITH GRANT OPTION", Grant(ME, "*", frozenset({"ALL PRIVILEGES"}), True)),
        (
            "GRANT UPDATE (`b`, `a`), DELETE ON `shop`.`t` TO `app`@`%`",
            Grant(ME, "`t`", frozenset({"UPDATE (`a`, `b`)", "DELETE"}), False),
        ),
        ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `app`@`%`", Grant(ME, "PROCEDURE `p`", frozenset({"EXECUTE"}), False)),
        ("GRANT SELECT ON `other`.* TO `app`@`%`", None),
        ("GRANT SELECT ON *.* TO `app`@`%`", None),
        ("GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*A'", None),
        ("GRANT `role` TO `app`@`%`", None),
    ],
)  # fmt: skip
def test_grants(line: str, expected: Grant | None) -> None:
    assert parse_grant(line, ME, "shop") == expected


def test_two_patterns_for_one_database_are_one_grant() -> None:
    lines = ["GRANT SELECT ON `shop`.* TO `app`@`%`", "GRANT INSERT ON `sh%`.* TO `app`@`%`"]
    (grant,) = merge(grant for line in lines if (grant := parse_grant(line, ME, "shop")))
    assert grant.statement() == "GRANT INSERT, SELECT ON * TO `app`@`%`"


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a\\_b", "a_b", True),
        ("a\\_b", "axb", False),
        ("a_b", "axb", True),
        ("a%", "abc", True),
        ("a.c", "abc", False),
    ],
)
def test_patterns_of_databases(pattern: str, name: str, fits: bool) -> None:
    assert like_database(pattern, name) is fits


def test_accounts() -> None:
    assert split_account("a@b@host") == ("a@b", "host")
    assert split_account("role") == ("role", "")


def test_missing_rights_are_named_in_one_grant() -> None:
    lines = [
        "GRANT USAGE ON *.* TO `b`@`%`",
        "GRANT SELECT, LOCK TABLES, SHOW VIEW ON `app`.* TO `b`@`%`",
        "GRANT SELECT ON `mysql`.`proc` TO `b`@`%`",
    ]
    (finding,) = rights.findings(lines, "app", ("b", "%"), bodies_readable=True)
    assert finding.caps
    assert finding.hint == "GRANT TRIGGER, EVENT ON `app`.* TO `b`@`%`;"


@pytest.mark.parametrize(
    ("line", "enough"),
    [
        ("GRANT SELECT ON `mysql`.`proc` TO `b`@`%`", True),
        ("GRANT SELECT ON `mysql`.* TO `b`@`%`", True),
        ("GRANT SELECT ON *.* TO `b`@`%`", True),
        ("GRANT ALL PRIVILEGES ON *.* TO `b`@`%` WITH GRANT OPTION", True),
        ("GRANT SHOW CREATE ROUTINE ON `app`.* TO `b`@`%`", True),
        ("GRANT SHOW_ROUTINE ON *.* TO `b`@`%`", True),
        ("GRANT SELECT ON `app`.* TO `b`@`%`", False),
        ("GRANT SELECT ON `mysql`.`db` TO `b`@`%`", False),
        ("GRANT EXECUTE ON PROCEDURE `app`.`p` TO `b`@`%`", False),
    ],
)
def test_who_may_read_routines(line: str, enough: bool) -> None:
    assert rights.may_read_routines([line], "app") is enough
