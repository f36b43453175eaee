"""What PostgreSQL's tools are told, whole; and that no secret is told where others can read it."""

from pathlib import Path

import pytest

from backups.engines import _postgresql_commands as commands
from backups.engines._postgresql_address import Address, address_of, password_file
from backups.engines._postgresql_commands import Selection, dump_command, load_command
from backups.engines._postgresql_objects import digest, literal, normalised
from backups.engines.postgresql import Plugin
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import run
from drcenter.secrets import Secret

PASSWORD = r"p:a\ss wörd!"
ENVIRONMENT = {
    "PGHOST": "db1", "PGPORT": "5433", "PGUSER": "backup", "PGDATABASE": "app=1 host=evil",
    "PGSSLMODE": "require", "PGPASSFILE": "{pgpass}", "PGAPPNAME": "drcenter", "PGCONNECT_TIMEOUT": "15",
}  # fmt: skip
FILES = {"pgpass": Secret("*:*:*:*:p\\:a\\\\ss wörd!\n")}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return {
        "host": "db1", "port": 5433, "user": "backup", "password": f"file:{tmp_path / 'password'}",
        "database": "app=1 host=evil", "sslmode": "require",
    }  # fmt: skip


def test_dump_of_a_whole_database(options: dict[str, object]) -> None:
    command = dump_command("pg_dump", address_of(options), "00000003-1B-1", Selection())
    assert (command.argv, command.env, command.files) == (
        ("pg_dump", "--format=plain", "--no-password", "--snapshot=00000003-1B-1", "--lock-wait-timeout=60000",
         "--no-tablespaces", "--no-subscriptions"),
        ENVIRONMENT,
        FILES,
    )  # fmt: skip


def test_dump_of_a_selection(options: dict[str, object]) -> None:
    selection = Selection(
        schemas=['odd "one"', "sales*"], without=['"a"."b c"'], without_rows=['"a"."d"'], large_objects=False
    )
    assert dump_command("pg_dump", address_of(options), "1", selection).argv[-6:] == (
        "--no-subscriptions", '--schema="odd ""one"""', '--schema="sales*"', '--exclude-table="a"."b c"',
        '--exclude-table-data="a"."d"', "--no-blobs",
    )  # fmt: skip


def test_load_of_the_globals(options: dict[str, object]) -> None:
    command = load_command("psql", address_of(options), single=False)
    assert (command.argv, command.env, command.files) == (
        ("psql", "--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--file=-"),
        ENVIRONMENT
        | {
            "PGOPTIONS": "-c default_transaction_read_only=off -c statement_timeout=0"
            " -c idle_in_transaction_session_timeout=0 -c client_min_messages=warning"
        },
        FILES,
    )  # fmt: skip


def test_load_that_clears_first_is_one_transaction(options: dict[str, object]) -> None:
    command = load_command("psql", address_of(options), single=True, first="DO 'x'")
    assert command.argv[6:] == ("--single-transaction", "--command=DO 'x'", "--file=-")


def test_without_a_password_there_is_no_password_file() -> None:
    command = dump_command("pg_dump", address_of({"database": "app"}), "1", Selection())
    assert (command.env, command.files) == (
        {"PGDATABASE": "app", "PGAPPNAME": "drcenter", "PGCONNECT_TIMEOUT": "15"},
        {},
    )


def test_the_password_is_nowhere_to_be_seen(options: dict[str, object]) -> None:
    address = address_of(options)
    engine = Plugin(options)
    everything = [
        repr(address), repr(engine.options), engine.target, engine.host,
        repr(dump_command("pg_dump", address, "1", Selection())),
        repr(engine.consumer("globals", "sql")), repr(engine.consumer("database", "sql")),
    ]  # fmt: skip
    assert not [text for text in everything if "wörd" in text]


def test_the_password_file_is_a_regular_file_that_only_the_child_reads(options: dict[str, object]) -> None:
    command = dump_command("pg_dump", address_of(options), "1", Selection())
    shell = type(command)(
        ("sh", "-c", 'stat -L -c "%F %a" "$PGPASSFILE"; cat "$PGPASSFILE"'), command.env, command.files
    )
    assert run(shell).stdout.decode() == "regular file 600\n*:*:*:*:p\\:a\\\\ss wörd!\n"


def test_a_password_with_a_line_break_is_refused_without_showing_it() -> None:
    with pytest.raises(OperationFailed) as caught:
        password_file(Secret("geheim1\ngeheim2"))
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "parameters", "password"),
    [
        ("postgres://u:p%40ss%2Fw@h:6543/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
         {"host": "h", "port": "6543", "user": "u", "dbname": "db", "sslmode": "verify-full",
          "sslrootcert": "/etc/ca.pem"}, "p@ss/w"),
        ("pgsql://u@h/db%20name", {"host": "h", "user": "u", "dbname": "db name"}, ""),
        ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "db"}, ""),
    ],
)  # fmt: skip
def test_urls(monkeypatch: pytest.MonkeyPatch, url: str, parameters: dict[str, str], password: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert address_of({"url": "env:DATABASE_URL"}) == Address(parameters, Secret(password))


def test_what_stands_beside_a_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:secret1@h/db")
    engine = Plugin({"url": "env:DATABASE_URL"}).beside("db restored")
    assert engine.target == "database db restored at h:5432"
    assert engine.host == "h"


@pytest.mark.parametrize("url", ["mysql://u:topsecret@h/db", "u:topsecret@h", "postgres://u:topsecret@[h/db"])
def test_a_bad_url_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(OperationFailed) as caught:
        address_of({"url": "env:DATABASE_URL"})
    assert caught.value.permanent
    assert "topsecret" not in str(caught.value)


def test_a_secret_that_leads_nowhere_still_has_a_target() -> None:
    engine = Plugin({"url": "env:NO_SUCH_VARIABLE_HERE"})
    assert engine.target == "database behind env:NO_SUCH_VARIABLE_HERE"


def test_options_need_a_database_or_a_url() -> None:
    with pytest.raises(OperationFailed, match="Name a database"):
        validated(Plugin.Options, {"host": "h"})
    with pytest.raises(OperationFailed, match="password"):
        validated(Plugin.Options, {"database": "d", "password": "the value itself"})
    assert validated(Plugin.Options, {"database": "d", "port": 5432})["port"] == 5432


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("pg_dump (PostgreSQL) 17.0", 17),
        ("pg_dump (PostgreSQL) 19beta1", 19),
    ],
)
def test_versions(text: str, major: int) -> None:
    assert commands.major_of(text) == major


def test_the_client_of_the_servers_own_version_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for major in (13, 15, 17):
        (tmp_path / str(major) / "bin").mkdir(parents=True)
        (tmp_path / str(major) / "bin" / "pg_dump").touch()
    monkeypatch.setattr(commands, "INSTALLATIONS", tmp_path)
    chosen = {
        server: Path(commands.find_client("pg_dump", server)).parts[-3] for server in (12, 13, 14, 15, 17, 18)
    }
    assert chosen == {12: "13", 13: "13", 14: "15", 15: "15", 17: "17", 18: "17"}


def test_a_check_on_a_varchar_column_is_the_same_after_a_restore() -> None:
    """Laravel's enum columns are such checks; PostgreSQL spells them differently once they were restored."""
    before = (
        "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'it''s, b'::character varying])::text[])))"
    )
    after = "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s, b'::character varying)::text])))"
    assert normalised(before) == after
    assert digest(before) == digest(after)
    assert digest(before.replace("'a'", "'c'")) != digest(after)


@pytest.mark.parametrize(("text", "written"), [("it's", "'it''s'"), ("a\\b'", " E'a\\\\b'''")])
def test_literals(text: str, written: str) -> None:
    assert literal(text) == written


@pytest.mark.parametrize(
    ("line", "section"),
    [
        (b"-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app",
         b"orders; Type: TABLE DATA; Schema: public"),
        (b"-- Data for Name: a b; Type: TABLE DATA; Schema: sales; Owner: -", b"a b; Type: TABLE DATA; Schema: sales"),
        (b"-- Name: a b; Type: INDEX; Schema: sales; Owner: -", None),
        (b"-- PostgreSQL database dump complete", None),
    ],
)  # fmt: skip
def test_sections(line: bytes, section: bytes | None) -> None:
    import re

    match = re.match(commands.MARKER, line)
    assert (match.group(1) if match else None) == section
