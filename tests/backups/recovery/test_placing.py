"""Putting the parts of a source into a place."""

import hashlib
import io
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import zstandard

from backups.pipe.decode import opened
from backups.recovery.placing import HINTS, by_source, place_source
from backups.storage.readback import Damaged
from drcenter.errors import Cancelled, OperationFailed
from drcenter.process import Children, Command

TEXT = b"INSERT INTO t VALUES (1);\n" * 200_000


class Store:
    """A copy of parts in memory, not encrypted."""

    def __init__(self, **stored: bytes) -> None:
        self._stored = stored

    @contextmanager
    def plain(self, key, advance=lambda count: None):
        with opened(io.BytesIO(self._stored[key]), [], advance=advance) as plain:
            yield plain


class Place:
    """Where each part goes to what the test says; `finished` has what was told at the end."""

    def __init__(self, *consumers) -> None:
        self._consumers = list(consumers)
        self.finished: list = []

    def consumer(self, part, suffix):
        return self._consumers.pop(0)

    def expect(self, witness):
        pass

    def finish(self, witness):
        self.finished.append(witness)


def part(key: str, stored: bytes, order: int = 1):
    return SimpleNamespace(
        key=key, name=key, suffix="sql", source_name="db", order=order, plain_size=1, stored_size=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
    )  # fmt: skip


class Context:
    """As much of a job's context as this needs."""

    def __init__(self, stopped: bool = False) -> None:
        self.children = Children()
        self.stopped = stopped
        self.done = 0

    def phase(self, *words) -> None:
        self.check()

    def advance(self, count: int) -> None:
        self.done += count

    def check(self) -> None:
        if self.stopped:
            raise Cancelled


PACKED = zstandard.compress(TEXT)


def put(*consumers, packed: bytes = PACKED, known=None, context=None) -> Place:
    place = Place(*consumers)
    place_source(context or Context(), Store(one=packed), [known or part("one", packed)], place, None)  # type: ignore
    return place


def test_a_command_gets_every_byte_and_the_place_is_finished(tmp_path) -> None:
    context = Context()
    place = put(Command(("sh", "-c", f"cat > {tmp_path}/out")), context=context)
    assert (tmp_path / "out").read_bytes() == TEXT
    assert (place.finished, context.done) == ([None], len(TEXT))


def test_a_function_gets_a_stream() -> None:
    got = []
    put(lambda stream: got.append(b"".join(iter(lambda: stream.read(65536), b""))))
    assert got == [TEXT]


def test_the_bytes_have_to_be_those_that_were_stored(tmp_path) -> None:
    """Between the check and the restore somebody may change the copy."""
    other = zstandard.compress(TEXT.replace(b"1", b"2"))
    place = Place(Command(("sh", "-c", "cat > /dev/null")))
    with pytest.raises(Damaged, match="one: the bytes are not those that were stored"):
        place_source(Context(), Store(one=other), [part("one", PACKED)], place, None)  # type: ignore
    assert place.finished == []


def test_a_damaged_part_never_looks_whole_to_the_command(tmp_path) -> None:
    """It is killed before its input ends: what loads in one transaction rolls back."""
    cut = PACKED[: len(PACKED) // 2]
    command = Command(("sh", "-c", f"cat > /dev/null; touch {tmp_path}/saw-the-end"))
    with pytest.raises(OperationFailed):
        put(command, packed=cut, known=part("one", PACKED))
    assert not (tmp_path / "saw-the-end").exists()


def test_the_commands_own_error_counts_more_than_the_pipe_that_it_broke() -> None:
    with pytest.raises(OperationFailed, match="sh failed with exit code 3: relation missing"):
        put(Command(("sh", "-c", "head -c 10 > /dev/null; echo relation missing >&2; exit 3")))


def test_a_command_that_stops_early_in_peace_is_no_restore_unless_it_may() -> None:
    with pytest.raises(OperationFailed, match="sh stopped reading before the end"):
        put(Command(("sh", "-c", "head -c 10 > /dev/null")))
    assert put(Command(("sh", "-c", "head -c 10 > /dev/null"), stops_early=True)).finished == [None]


@pytest.mark.parametrize("text", HINTS)
def test_known_last_words_have_a_hint(text: str) -> None:
    with pytest.raises(OperationFailed) as caught:
        put(Command(("sh", "-c", f"cat > /dev/null; echo 'ERROR: {text} and more' >&2; exit 1")))
    assert caught.value.hint == HINTS[text]


def test_a_job_that_is_stopped_begins_nothing() -> None:
    with pytest.raises(Cancelled):
        put(Command(("sh", "-c", "exit 1")), context=Context(stopped=True))


def test_parts_by_source_in_the_order_of_restore() -> None:
    parts = [SimpleNamespace(source_name=name, order=order) for name, order in (("b", 3), ("a", 2), ("b", 1))]
    found = by_source(parts)  # type: ignore[arg-type]
    assert {name: [one.order for one in parts] for name, parts in found.items()} == {"b": [1, 3], "a": [2]}
    assert list(found) == ["b", "a"]
