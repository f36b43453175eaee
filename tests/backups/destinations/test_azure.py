"""The Azure destination on bad days, and its locks as Microsoft documents them."""

import hashlib
import io
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from backups.destinations import _retry, build
from backups.destinations.azure import AzureOptions, Plugin
from backups.places.trial import Trial, check
from drcenter.errors import OperationFailed
from drcenter.options import validated
from tests.backups.destinations import azurite
from tests.backups.destinations.azure_locks import LockingAzure
from tests.backups.destinations.faulty_s3 import FaultyServer
from tests.backups.destinations.s3_server import free_port
from tests.backups.destinations.streams import Generated

MIB = 1 << 20
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
BUSY = (503, "ServerBusy")


@pytest.fixture
def front(azure_port, azure_key):
    """A server in front of Azurite that misbehaves as it is told."""
    with FaultyServer(azure_port) as server:
        yield server


@pytest.fixture
def container(azure_port):
    return azurite.options(azure_port)["container"]


@pytest.fixture
def azure(front, container):
    return build("azure", azurite.options(front.port, container))


def failure(act):
    with pytest.raises(OperationFailed) as caught:
        act()
    assert azurite.KEY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", ["status", "drop", "lose"])
@pytest.mark.parametrize("query", ["comp=block&", "comp=blocklist"])
def test_trouble_in_an_upload_is_overcome(azure, front, kind, query):
    """Also an answer that got lost after the store had done what was asked."""
    front.add(kind, "PUT", query, times=2, status=BUSY)
    stream = Generated(20 * MIB)
    assert azure.put("a", stream).size == 20 * MIB
    assert front.struck == 2
    with azure.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()


@pytest.mark.parametrize("query", ["comp=block&", "comp=blocklist"])
def test_trouble_that_stays_leaves_nothing(azure, front, query):
    front.add("drop", "PUT", query)
    error = failure(lambda: azure.put("a", Generated(20 * MIB)))
    assert not error.permanent and "cannot be reached" in error.message
    assert front.struck == len(_retry.PAUSES) + 1
    assert list(azure.list("")) == []


def test_an_answer_that_never_comes_is_a_success_if_the_object_is_there(azure, front):
    front.add("lose", "PUT", "comp=blocklist", times=1)
    front.add("drop", "PUT", "comp=blocklist")
    assert azure.put("a", Generated(MIB)).size == MIB


def test_what_came_meanwhile_is_not_overwritten(azure, azure_port, container):
    blob = azurite.service(azure_port).get_blob_client(container, "drc/a")
    stream = Generated(3 * MIB, watch=lambda given: blob.upload_blob(b"another", overwrite=True))
    assert "another writer" in failure(lambda: azure.put("a", stream)).message
    stream = Generated(3 * MIB, watch=lambda given: blob.upload_blob(b"and another", overwrite=True))
    assert "replaced" in failure(lambda: azure.put("a", stream)).message
    with azure.open("a") as back:
        assert back.read() == b"and another"


def test_an_object_that_is_replaced_while_it_is_read(azure):
    azure.put("a", Generated(20 * MIB))
    with azure.open("a") as back:
        back.read(10)
        azure.put("a", io.BytesIO(b"another"))
        assert "replaced" in failure(back.read).message


def test_a_broken_download_is_taken_up_again(azure, front):
    stream = Generated(20 * MIB)
    azure.put("a", stream)
    front.add("cut", "GET", "drc/a", times=3)
    with azure.open("a") as back:
        assert hashlib.sha256(back.read()).digest() == stream.digest.digest()
    assert front.struck == 3


def test_the_checksum_of_the_whole_is_the_stores(azure, azure_port, container):
    digest = hashlib.md5(b"small").digest()
    assert azure.put("a", io.BytesIO(b"small")).checksum == f"md5:{digest.hex()}"
    found = azurite.service(azure_port).get_blob_client(container, "drc/a").get_blob_properties()
    assert bytes(found.content_settings.content_md5) == digest


class TestWhatAnOperatorIsTold:
    def error(self, options, **changes):
        return failure(lambda: check(Plugin(validated(Plugin.Options, options | changes))))

    def test_container_missing(self, azure_port, azure_key):
        assert "container does not exist" in self.error(azurite.options(azure_port, "nowhere")).message

    def test_wrong_key(self, azure_port, container, monkeypatch):
        monkeypatch.setenv("TEST_AZURE_KEY", "d3Jvbmc=")
        error = self.error(azurite.options(azure_port, container))
        assert (error.permanent and "credentials" in error.message) or "access" in error.message

    def test_nobody_listens(self, container, azure_key):
        error = self.error(azurite.options(free_port(), container))
        assert "cannot be reached" in error.message and not error.permanent

    def test_no_credentials(self, azure_port, container):
        with pytest.raises(OperationFailed, match="account key or a SAS"):
            validated(AzureOptions, azurite.options(azure_port, container, account_key=""))


class TestLocks:
    """Against the documented answers: Azurite knows no immutability."""

    def test_a_lock_is_set_read_back_and_refuses_the_delete(self, azure_port, azure_key, container):
        with LockingAzure(azure_port) as server:
            store = Plugin(azurite.options(server.port, container, lock_mode="Locked"))
            steps = [*Trial(store, store, locks=True).steps()]
            assert [step for step in steps if not step.ok] == []
            assert any("Locked until" in step.message for step in steps)
            store.put("a", io.BytesIO(b"x"))
            locked = store.lock("a", UNTIL)
            assert (locked.locked_until, locked.lock_mode) == (UNTIL, "Locked")
            assert store.lock("a", UNTIL - timedelta(days=1)).locked_until == UNTIL
            assert "is locked" in failure(lambda: store.delete("a")).message

    def test_a_store_that_takes_the_order_and_forgets_it(self, azure_port, azure_key, container):
        with LockingAzure(azure_port, forgets=True) as server:
            store = Plugin(azurite.options(server.port, container))
            store.put("a", io.BytesIO(b"x"))
            assert "is not locked, although" in failure(lambda: store.lock("a", UNTIL)).message

    def test_a_store_that_cannot(self, azure):
        azure.put("a", io.BytesIO(b"x"))
        with pytest.raises(OperationFailed, match="cannot be locked"):
            azure.lock("a", UNTIL)
        assert azure.head("a").locked_until is None
