"""What every destination promises, asked of each: a directory, and servers over their own protocols."""

import hashlib
import io
import itertools
import traceback
from pathlib import Path

import pytest

from backups.destinations import build, choices, destinations
from backups.destinations.base import NotThere
from backups.places.trial import check
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.destinations import azurite, gcs_simulator, s3_server, sftp_server
from tests.backups.destinations.streams import Broken, Generated

MIB = 1 << 20
KINDS = ("local", "s3", "s3-md5", "sftp", "sftp-plain", "azure", "gcs")


def options_of(kind, request):
    if kind == "local":
        return {"path": str(request.getfixturevalue("tmp_path") / "sets")}
    if kind == "sftp":
        return request.getfixturevalue("sftp").options()
    if kind == "sftp-plain":
        return request.getfixturevalue("plain_sftp").options(read_back=False)
    if kind == "azure":
        request.getfixturevalue("azure_key")
        return azurite.options(request.getfixturevalue("azure_port"))
    if kind == "gcs":
        return request.getfixturevalue("google").options(request.getfixturevalue("tmp_path"))
    request.getfixturevalue("s3_keys")
    port = request.getfixturevalue("s3_port")
    more = {"checksums": "when_required"} if kind == "s3-md5" else {}
    return s3_server.options(port, s3_server.new_bucket(port), **more)


@pytest.fixture(scope="session")
def plain_sftp():
    """A server that knows none of the requests that OpenSSH added to the protocol."""
    with sftp_server.running(arguments="-P posix-rename,fsync,statvfs,limits") as server:
        yield server


@pytest.fixture(params=KINDS)
def destination(request):
    key = request.param.partition("-")[0]
    made = build(key, validated(destinations()[key].Options, options_of(request.param, request)))
    made.prepare()
    return made


def test_every_destination_is_asked():
    assert {key for key, _label in choices()} == {kind.partition("-")[0] for kind in KINDS}


@pytest.mark.parametrize("key", sorted(destinations()))
def test_every_option_is_in_the_documentation(key):
    page = (Path(__file__).parents[3] / f"docs/destinations/{key}.md").read_text()
    assert [name for name in destinations()[key].Options().fields if f"`{name}`" not in page] == []


@pytest.mark.parametrize("size", [0, 1, 5 * MIB + 1, 40 * MIB, 32 * MIB])
def test_bytes_come_back(destination, size):
    stream = Generated(size)
    stored = destination.put("shop/set/part", stream, expected_size=size // 2)
    assert stored.key == "shop/set/part" and stored.size == size
    assert destination.head("shop/set/part").size == size
    digest = hashlib.sha256()
    with destination.open("shop/set/part") as back:
        while block := back.read(MIB):
            digest.update(block)
    assert digest.digest() == stream.digest.digest()


def test_a_stream_of_short_reads_of_unknown_size(destination):
    stream = Generated(17 * MIB, step=99_991)
    assert destination.put("a", stream).size == 17 * MIB
    with destination.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()


def test_ranges(destination):
    content = bytes(range(256)) * 100
    destination.put("a", io.BytesIO(content))
    for start, length in itertools.product((0, 1, 255, 25_599, 25_600, 99_999), (None, 0, 1, 1000, 99_999)):
        end = None if length is None else start + length
        with destination.open("a", start, length) as stream:
            assert stream.read() == content[start:end], (start, length)


@pytest.mark.parametrize("size", [0, 100, 3 * MIB, 33 * MIB])
@pytest.mark.parametrize("error", [RuntimeError("dump died"), KeyboardInterrupt(), OSError("pipe broke")])
def test_a_stream_that_raises_leaves_nothing(destination, size, error):
    with pytest.raises(type(error)) as caught:
        destination.put("shop/set/part", Broken(size, error))
    assert caught.value is error
    assert list(destination.list("")) == []
    with pytest.raises(NotThere):
        destination.head("shop/set/part")
    assert unfinished(destination) == []


def unfinished(destination):
    """What is half there, looked for past the destination's own eyes."""
    plugin = destination.inner
    if "container" in plugin.options:
        return []  # Azure shows blocks that were not committed to nobody, and drops them after a week.
    if "path" in plugin.options:
        return [path for path in Path(plugin._root).rglob("*") if "unfinished" in path.name]
    if "credentials_json" in plugin.options:
        return [
            one
            for one in gcs_simulator.BUCKETS[plugin.options["bucket"]].uploads.values()
            if "result" not in one
        ]
    found = plugin._client.list_multipart_uploads(Bucket=plugin.options["bucket"])
    return found.get("Uploads", [])


@pytest.mark.parametrize("size", [3 * MIB, 20 * MIB])
def test_an_object_is_replaced_whole_or_not_at_all(destination, size):
    """While the new one is under way, and after it failed, the old one is there."""
    destination.put("a", io.BytesIO(b"old"))

    def look(given):
        with destination.open("a") as stream:
            assert stream.read() == b"old"

    with pytest.raises(RuntimeError):
        destination.put("a", Broken(size, RuntimeError("dump died")))
    look(0)
    destination.put("a", Generated(size, step=5 * MIB, watch=look))
    assert destination.head("a").size == size
    destination.put("a", io.BytesIO(b"new"))
    with destination.open("a") as stream:
        assert stream.read() == b"new"


def test_keys_come_in_order_and_prefixes_are_plain_text(destination):
    keys = ["a-b/c", "a/b-c", "a/b/c", "ab", "b/1", "b/10", "b/2", "z", "ä/ö"]
    for key in reversed(keys):
        destination.put(key, io.BytesIO(key.encode()))
    assert [one.key for one in destination.list("")] == keys
    for prefix in ("a", "a/", "a/b", "a/b/", "b/1", "ä", "nothing", "a/b/c/d", "../", "/"):
        assert [one.key for one in destination.list(prefix)] == [
            key for key in keys if key.startswith(prefix)
        ]
    assert [one.key for one in destination.list_versions("b/")] == ["b/1", "b/10", "b/2"]
    assert [one.size for one in destination.list("b/10")] == [4]


def test_many_keys(destination):
    """More than one page of a listing."""
    for number in range(120):
        destination.put(f"many/{number:04}", io.BytesIO(b""))
    assert [one.key for one in destination.list("many/")] == [f"many/{number:04}" for number in range(120)]
    assert len(list(destination.list_versions("many/"))) == 120


def test_delete_is_for_good_and_may_be_repeated(destination):
    destination.put("a/b", io.BytesIO(b"x"))
    for _time in range(2):
        destination.delete("a/b")
        with pytest.raises(NotThere):
            destination.head("a/b")
    assert list(destination.list("")) == []


def test_what_is_not_there_is_told_as_that(destination):
    for act in (destination.head, destination.open, lambda key: destination.open(key, 5, 5)):
        with pytest.raises(NotThere, match="a/b"):
            act("a/b")


BAD_KEYS = (
    "", "/etc/passwd", "../a", "a/../../b", "a/..", "./a", "a//b", "a/", "a\0b", "a\nb", "a\\b", "\ud800",
    "a" * 201, "a/" * 500 + "a", ".drcenter-destination", "a/.drcenter-unfinished-1",
)  # fmt: skip


def test_keys_that_could_lead_elsewhere_are_refused(destination):
    for key in BAD_KEYS:
        for act in (lambda key: destination.put(key, io.BytesIO(b"x")), destination.open,
                    destination.head, destination.delete):  # fmt: skip
            with pytest.raises(OperationFailed, match="refused") as caught:
                act(key)
            assert caught.value.permanent and not isinstance(caught.value, NotThere)


def test_check_is_content_and_leaves_nothing(destination):
    destination.put("shop/one", io.BytesIO(b"x"))
    check(destination)
    assert [one.key for one in destination.list("")] == ["shop/one"]
    assert unfinished(destination) == []


def test_abort_is_harmless_when_there_is_nothing(destination):
    destination.put("shop/one", io.BytesIO(b"x"))
    destination.abort()
    destination.abort("shop/")
    assert destination.head("shop/one").size == 1


def test_what_it_tells_of_itself(destination):
    space = destination.space()
    assert space.free is None or space.free > 0
    assert destination.target and destination.label
    texts = [destination.target, repr(destination.options)]
    try:
        destination.open("missing")
    except NotThere as error:
        texts.append("".join(traceback.format_exception(error)))
    assert not any(
        secret in text for text in texts for secret in (s3_server.ACCESS_KEY, s3_server.SECRET_KEY)
    )


def test_a_version_is_removed_for_good(destination):
    destination.put("a/one", io.BytesIO(b"1"))
    destination.put("a/one", io.BytesIO(b"2"))
    destination.put("b", io.BytesIO(b"3"))
    for stored in list(destination.list_versions("a/")):
        destination.delete_version(stored.key, stored.version)
    destination.delete_version("a/one", "")
    assert [one.key for one in destination.list_versions("")] == ["b"]


def test_nothing_is_unfinished_after_a_good_put(destination):
    destination.put("a/one", io.BytesIO(b"1"))
    assert list(destination.unfinished("")) == []
