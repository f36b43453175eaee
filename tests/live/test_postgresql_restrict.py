r"""psql never runs what stands in a dump: a store may serve other bytes than those that were checked."""

from pathlib import Path

import pytest

from backups.engines import _postgresql_restrict as restrict
from backups.servers.postgresql import Server
from drcenter.errors import OperationFailed
from drcenter.process import Command
from tests.live.postgresql_fixtures import engine_for, rows
from tests.live.roundtrip import Taken, restore

HEADER = b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n"


def joined(*blocks: bytes) -> bytes:
    """What psql gets behind the line with our own key."""
    first, _, rest = b"".join(restrict.restricted(blocks)).partition(b"\n")
    assert first.startswith(b"\\restrict ")
    assert len(first) > 50
    return rest


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_the_dumps_own_lines_are_left_out_wherever_the_blocks_end(size: int) -> None:
    rows = b"COPY t FROM stdin;\n" + b"1\t\\restrict abc\n\\restrict abc\n" * 300 + b"\\.\n"
    dump = HEADER + rows + b"\\unrestrict abc\n\nSELECT 1;\n"
    blocks = [dump[start : start + size] for start in range(0, len(dump), size)]
    assert joined(*blocks) == HEADER.replace(b"\\restrict abc\n", b"") + rows + b"\nSELECT 1;\n"
    assert joined(dump.removesuffix(b"\n\nSELECT 1;\n")) == joined(dump).removesuffix(b"\nSELECT 1;\n")


def test_what_has_no_key_is_left_as_it_is() -> None:
    assert joined(b"SELECT 1;\n\\restrict abc\n") == b"SELECT 1;\n\\restrict abc\n"
    assert joined() == b""


@pytest.mark.parametrize("part", ["globals", "database"])
@pytest.mark.parametrize(
    "head",
    [b"", HEADER + b"\\unrestrict abc\n", b"\\restrict a\n\\unrestrict a\n", b"COPY t FROM stdin;\n1\n\\.\n"],
)
def test_a_command_in_the_stream_does_not_run(
    postgresql_server: Server, postgresql_database: str, tmp_path: Path, part: str, head: bytes
) -> None:
    mark = tmp_path / "mark"
    hostile = b"CREATE TABLE t (a int);\n" + head + f"\\! touch {mark}\n".encode() + b"SELECT 1;\n"
    if head.startswith(b"--"):
        hostile = head + hostile.replace(head, b"")
    with pytest.raises(OperationFailed, match="backslash commands are restricted"):
        restore(engine_for(postgresql_server, postgresql_database), Taken([(part, "sql", hostile)]))
    assert not mark.exists()


def test_rows_that_look_like_commands_come_back(postgresql_server: Server, postgresql_database: str) -> None:
    dump = (
        HEADER
        + b"CREATE TABLE t (a text);\nCOPY t FROM stdin;\n\\restrict abc\n\\\\! false\n\\.\n\\unrestrict abc\n"
    )
    restore(engine_for(postgresql_server, postgresql_database), Taken([("database", "sql", dump)]))
    assert rows(postgresql_server, postgresql_database, "SELECT a FROM t") == [
        ("\restrict abc",),
        ("\\! false",),
    ]


def test_a_psql_that_is_too_old_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = restrict.run
    monkeypatch.setattr(restrict, "run", lambda command: real(Command(("echo", "\\q"))))
    with pytest.raises(OperationFailed, match="too old"):
        restrict.check_restricts("/old/psql")
