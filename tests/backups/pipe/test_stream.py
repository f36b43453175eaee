"""The pipeline on the way out: what is stored, what fails, and what is left then."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pyrage
import pytest
from blake3 import blake3
from django.conf import settings

from backups.pipe.stream import Encoding, Pace, store
from drcenter import process_tree
from drcenter.errors import Cancelled, OperationFailed
from drcenter.process import Children
from tests.backups.piping import Sink, nothing_left, of_bytes, part, plain, shell, stored

DATA = os.urandom(300_000) + b"-- Data for Name: t; Owner: x\n" * 100_000


@pytest.fixture
def identity():
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def encrypted(identity):
    return Encoding([identity.to_public()])


@pytest.mark.parametrize("data", [DATA, b"", b"x", bytes(5 << 20)], ids=["mixed", "empty", "one", "zeros"])
@pytest.mark.parametrize("several", [0, 1, 3])
def test_a_round_trip_with_and_without_encryption(data, several) -> None:
    identities = [pyrage.x25519.Identity.generate() for _ in range(several)]
    content, known = stored(data, Encoding([one.to_public() for one in identities]))
    for one in identities or [None]:
        assert plain(content, *([one] if one else [])) == data
    assert (known.plain_size, known.plain_blake3) == (len(data), blake3(data).hexdigest())
    assert (known.stored_size, known.stored_sha256) == (len(content), hashlib.sha256(content).hexdigest())
    if several:
        assert data[:100] not in content or len(data) < 2


def test_the_plain_tools_read_what_we_store_and_the_other_way_round(identity, encrypted, tmp_path) -> None:
    key, ours, theirs = tmp_path / "key", tmp_path / "ours.zst.age", tmp_path / "theirs.zst.age"
    key.write_text(str(identity))
    content, _known = stored(DATA, encrypted)
    ours.write_bytes(content)
    script = f"set -e; age -d -i {key} {ours} | zstd -dc"
    assert subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout == DATA
    script = f"zstd -c -T2 | age -r {identity.to_public()} -o {theirs}"
    subprocess.run(["sh", "-c", script], input=DATA, check=True)
    assert plain(theirs.read_bytes(), identity) == DATA


def test_several_producers_make_one_part_in_their_order() -> None:
    sink = Sink()
    known = store(part(shell("printf one"), of_bytes(b"two", b""), shell("printf three")), sink, Encoding())
    assert plain(sink.published) == b"onetwothree"
    assert known.plain_size == 11


def test_sections_and_the_watch_see_the_plain_bytes() -> None:
    seen = []

    def watch(block: bytes) -> bool:
        seen.append(block)
        return b"b" in block

    spec = part(
        of_bytes(b"-- Data for Name: t; Owner: x\n", b"b", b"c"),
        marker=rb"-- Data for Name: (.+); Owner: ",
        watch=watch,
    )
    assert set(store(spec, Sink(), Encoding()).sections) == {"", "t"}
    assert seen == [b"-- Data for Name: t; Owner: x\n", b"b"]


FAILING = [
    (
        "head -c 3000000 /dev/urandom; echo 'Lost connection to server' >&2; exit 3",
        "exit code 3: Lost connection",
    ),
    ("echo nothing >&2; exit 1", "exit code 1: nothing"),
    ("head -c 3000000 /dev/urandom; kill -9 $$", "SIGKILL"),
]


@pytest.mark.parametrize(("script", "message"), FAILING)
@pytest.mark.parametrize("encrypt", [True, False])
def test_a_producer_that_dies_publishes_nothing(script, message, encrypt, identity) -> None:
    sink = Sink()
    with nothing_left(), pytest.raises(OperationFailed, match=message):
        store(part(shell(script)), sink, Encoding([identity.to_public()] if encrypt else []))
    assert sink.published is None


def test_a_second_producer_that_dies_publishes_nothing() -> None:
    sink = Sink()
    with nothing_left(), pytest.raises(OperationFailed, match="exit code 2"):
        store(part(shell("printf good"), shell("exit 2")), sink, Encoding())
    assert sink.published is None


def test_a_producer_of_ours_that_raises_publishes_nothing(encrypted) -> None:
    def produce():
        yield b"some"
        raise OperationFailed("The file is gone.", "Look.")

    sink = Sink()
    with nothing_left(), pytest.raises(OperationFailed, match=r"The file is gone\."):
        store(part(produce), sink, encrypted)
    assert sink.published is None


@pytest.mark.parametrize("fields", [{}, {"smallest": 500}])
@pytest.mark.parametrize("script", ["true", "printf ''"])
def test_an_empty_dump_fails(fields, script) -> None:
    sink = Sink()
    with pytest.raises(OperationFailed, match=r"has 0 bytes; at least") as caught:
        store(part(shell(script), **fields), sink, Encoding())
    assert "right database" in caught.value.hint
    assert sink.published is None


def test_an_implausibly_small_dump_fails() -> None:
    with pytest.raises(OperationFailed, match="has 499 bytes; at least 500"):
        store(part(of_bytes(b"x" * 499), smallest=500), Sink(), Encoding())


def test_a_level_that_zstd_refuses_is_an_error_and_no_deadlock() -> None:
    with nothing_left(), pytest.raises((ValueError, OverflowError, TypeError)):
        store(part(of_bytes(b"x")), Sink(), Encoding(level="no level"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "script", ["cat /dev/zero", "sleep 1000", "head -c 60000000 /dev/urandom; sleep 1000"]
)
@pytest.mark.parametrize("encrypt", [True, False])
def test_when_the_store_fails_the_producer_is_killed(script, encrypt, identity) -> None:
    def sink(stream) -> None:
        if "urandom" in script:
            stream.read(1)
        raise OperationFailed("The disk is full.")

    began = time.monotonic()
    with nothing_left(), pytest.raises(OperationFailed, match="disk is full"):
        store(part(shell(script)), sink, Encoding([identity.to_public()] if encrypt else []))
    assert time.monotonic() - began < 3


def test_a_store_that_stops_reading_is_no_success(encrypted) -> None:
    with nothing_left(), pytest.raises(OperationFailed, match="stopped reading"):
        store(part(shell("cat /dev/urandom")), lambda stream: stream.read(100), encrypted)


def test_a_store_that_stops_reading_though_the_producer_fails_later() -> None:
    with nothing_left(), pytest.raises(OperationFailed, match="exit code 7"):
        store(part(shell("printf 12345; sleep 0.3; exit 7")), lambda stream: None, Encoding())


@pytest.mark.parametrize("script", ["cat /dev/zero", "echo begun; sleep 1000"])
def test_cancel_in_the_middle(script, encrypted) -> None:
    children, sink = Children(), Sink()
    stop = threading.Timer(0.3, children.kill)
    stop.start()
    began = time.monotonic()
    with nothing_left(), pytest.raises(OperationFailed, match="SIGKILL"):
        store(part(shell(script)), sink, Encoding(encrypted.recipients, children=children))
    assert time.monotonic() - began < 3
    assert sink.published is None


def test_after_a_cancel_nothing_starts(encrypted) -> None:
    children = Children()
    children.kill()
    with nothing_left(), pytest.raises(OperationFailed, match="SIGKILL"):
        store(part(shell("cat /dev/zero")), Sink(), Encoding(encrypted.recipients, children=children))


def test_progress_is_told_and_may_stop_it(encrypted) -> None:
    done = []

    def advance(count: int) -> None:
        done.append(count)
        if sum(done) > 3 << 20:
            raise Cancelled

    sink = Sink()
    with nothing_left(), pytest.raises(Cancelled):
        store(part(shell("cat /dev/zero")), sink, Encoding(encrypted.recipients, advance=advance))
    assert sink.published is None
    assert 3 << 20 < sum(done) <= 4 << 20


def test_the_bandwidth_limit_is_kept() -> None:
    data = os.urandom(3 << 20)
    began = time.monotonic()
    stored(data, Encoding(bytes_per_second=2 << 20))
    assert 0.9 < time.monotonic() - began < 4


def test_a_pause_earns_no_rush() -> None:
    pace = Pace(1000)
    pace._free_at -= 100  # Nothing passed for 100 s.
    began = time.monotonic()
    for _ in range(15):
        pace.wait(100)
    assert 0.4 < time.monotonic() - began < 2


def test_memory_does_not_grow_with_the_data() -> None:
    small, large = (_peak(mebibytes) for mebibytes in (50, 800))
    assert large < 150 << 10
    assert large - small < 16 << 10, (small, large)


MEASURE = """
import os, re, sys
from pathlib import Path
import pyrage
from backups.engines.base import PartSpec
from backups.pipe.stream import Encoding, store
block = os.urandom(1 << 19) + bytes(1 << 19)
produce = lambda: (block for _ in range(int(sys.argv[1])))
class Null:
    def __call__(self, stream):
        while stream.read(1 << 20):
            pass
recipient = pyrage.x25519.Identity.generate().to_public()
store(PartSpec("p", "bin", (produce,)), Null(), Encoding([recipient]))
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def _peak(mebibytes: int) -> int:
    command = [sys.executable, "-c", MEASURE, str(mebibytes)]
    result = subprocess.run(command, capture_output=True, check=True, text=True, cwd=settings.BASE_DIR)
    return int(result.stdout)


def test_a_producer_that_is_killed_from_outside(encrypted) -> None:
    """As the kernel does when memory runs out."""
    sink = Sink()
    # The servers that other tests share, and the browser, are ours too.
    shared = set(process_tree.descendants(os.getpid()))

    def kill(received: int) -> None:
        for child in set(process_tree.descendants(os.getpid())) - shared:
            os.kill(child, signal.SIGKILL)

    sink.on_block = kill
    with nothing_left(), pytest.raises(OperationFailed, match="SIGKILL"):
        store(part(shell("exec cat /dev/urandom")), sink, encrypted)
    assert sink.published is None
