"""The SFTP destination on bad days: a server that shows another key, dies, fills up, forbids, or does not answer."""

import hashlib
import io
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import pytest

from backups.destinations import _sftp_connect, build
from backups.destinations._sftp_protocol import Attributes, Gone, Packet, long, number
from backups.destinations._sftp_protocol import text as packed
from backups.destinations.sftp import Plugin, SftpOptions
from backups.places.trial import check
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.process import Command, run
from tests.backups.destinations import sftp_server
from tests.backups.destinations.bad_disk import NOBODY
from tests.backups.destinations.streams import Broken, Generated

MIB = 1 << 20


def made(options):
    destination = build("sftp", validated(SftpOptions, options))
    destination.prepare()
    return destination


def files_in(destination):
    root = Path(destination.inner._root)
    return sorted(str(path.relative_to(root)) for path in root.rglob("[!.]*") if path.is_file())


def leftovers(destination):
    return [*Path(destination.inner._root).rglob("*unfinished*")]


def failure(act):
    with pytest.raises(OperationFailed) as caught:
        act()
    assert caught.value.hint
    text = "".join(traceback.format_exception(caught.value))
    assert "PRIVATE KEY" not in text and "the passphrase" not in text
    return caught.value


@pytest.fixture
def own_server():
    """A server that a test may stop."""
    with sftp_server.running() as server:
        yield server


class TestHostKey:
    def test_a_line_or_a_fingerprint(self, sftp):
        for line in (sftp.public(), f"127.0.0.1 {sftp.public()}", sftp.fingerprint()):
            check(made(sftp.options(host_key=[line])))

    def test_the_key_of_another_server(self, sftp):
        error = failure(lambda: made(sftp.options(host_key=[sftp.public("rsa")])))
        assert "offers no host key of a kind that is expected" in error.message and error.permanent
        for other in (sftp.fingerprint("ecdsa"), "ssh-ed25519 " + sftp_key(sftp.folder)):
            error = failure(lambda other=other: made(sftp.options(host_key=[other])))
            assert "offers another host key" in error.message and error.permanent
            assert f"ssh-ed25519 {sftp.fingerprint()}" in error.message

    def test_none_is_expected_yet(self, sftp):
        error = failure(lambda: made(sftp.options(host_key=[])))
        assert "is not known yet" in error.message and sftp.fingerprint() in error.message

    def test_nothing_secret_is_resolved_before_it_is_compared(self, sftp):
        options = sftp.options(host_key=[sftp.fingerprint("rsa")], private_key="env:NOT_SET_ANYWHERE")
        assert "offers another host key" in failure(lambda: made(options)).message

    def test_the_fingerprint_of_any_of_the_keys_that_a_server_has(self):
        with sftp_server.running(host_keys=("ed25519", "ecdsa", "rsa")) as server:
            for kind in server.host_keys:
                check(made(server.options(host_key=[server.fingerprint(kind)])))
                check(made(server.options(host_key=[server.public(kind)])))


def sftp_key(folder):
    """The public key of a user: a valid key, and not the server's."""
    return (folder / "user_ed25519.pub").read_text().split()[1]


class TestSignIn:
    def test_keys_of_each_kind(self, sftp, monkeypatch):
        monkeypatch.setenv("TEST_SFTP_PASSPHRASE", "the passphrase")
        monkeypatch.setenv("TEST_SFTP_KEY", (sftp.folder / "user_ecdsa").read_text().strip())
        rsa = {"private_key": f"file:{sftp.folder}/user_rsa", "passphrase": "env:TEST_SFTP_PASSPHRASE"}
        for more in (rsa, {"private_key": "env:TEST_SFTP_KEY"}):
            check(made(sftp.options(**more)))

    def test_what_is_refused(self, sftp, monkeypatch):
        monkeypatch.setenv("TEST_SFTP_WRONG", "not the password")
        wrong = {"private_key": "", "password": "env:TEST_SFTP_WRONG"}
        assert "does not let" in failure(lambda: made(sftp.options(**wrong))).message
        foreign = {"private_key": f"file:{sftp.folder}/host_ed25519"}
        assert "does not let" in failure(lambda: made(sftp.options(**foreign))).message
        locked = {"private_key": f"file:{sftp.folder}/user_rsa"}
        assert "passphrase" in failure(lambda: made(sftp.options(**locked))).message
        broken = {"private_key": f"file:{sftp.folder}/sshd_config"}
        assert "cannot be read" in failure(lambda: made(sftp.options(**broken))).message

    def test_a_password_is_sent_only_to_the_right_server(self, monkeypatch):
        """A server of paramiko's, since sshd would ask the machine's own accounts."""
        monkeypatch.setenv("TEST_SFTP_PASSWORD", "the right password")
        with password_server("the right password") as (port, key, tried):
            address = _sftp_connect.Address("127.0.0.1", port, "backup", (key,), "env:TEST_SFTP_PASSWORD")
            owner = Plugin({})
            assert _sftp_connect.connect(address, owner).extensions == {b"check-file"}
            assert tried == ["the right password"]


class password_server:
    def __init__(self, password):
        import paramiko

        class Interface(paramiko.ServerInterface):
            def check_auth_password(self, username, given):
                tried.append(given)
                return paramiko.AUTH_SUCCESSFUL if given == password else paramiko.AUTH_FAILED

            def check_channel_request(self, kind, number):
                return paramiko.OPEN_SUCCEEDED

        tried = self.tried = []
        self.interface = Interface()
        self.key = paramiko.ECDSAKey.generate()
        self.listening = socket.create_server(("127.0.0.1", 0))

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        line = f"{self.key.get_name()} {self.key.get_base64()}"
        return self.listening.getsockname()[1], line, self.tried

    def serve(self):
        import paramiko

        connection, _address = self.listening.accept()
        self.transport = paramiko.Transport(connection)
        self.transport.add_server_key(self.key)
        self.transport.set_subsystem_handler("sftp", paramiko.SFTPServer)
        self.transport.start_server(server=self.interface)

    def __exit__(self, *error):
        self.transport.close()
        self.listening.close()


class TestBrokenConnections:
    def test_a_server_that_starts_again_in_the_middle(self, own_server):
        destination = made(own_server.options())

        times = [5 * MIB, 12 * MIB]

        def restart(given):
            if times and given > times[0]:
                times.pop(0)
                own_server.stop()
                own_server.start()

        stream = Generated(20 * MIB, watch=restart)
        assert destination.put("shop/a", stream).size == 20 * MIB
        assert times == [] and files_in(destination) == ["shop/a"] and leftovers(destination) == []
        with destination.open("shop/a") as back:
            content = back.read(3 * MIB)
            own_server.stop()
            own_server.start()
            content += back.read()
        assert hashlib.sha256(content).digest() == stream.digest.digest()

    def test_a_server_that_stays_away(self, own_server):
        destination = made(own_server.options())

        def end(given):
            if given > 5 * MIB:
                own_server.stop()

        error = failure(lambda: destination.put("shop/a", Generated(20 * MIB, watch=end)))
        assert "127.0.0.1" in error.message and not error.permanent
        assert files_in(destination) == [] and len(leftovers(destination)) == 1
        own_server.start()
        destination.abort()
        assert leftovers(destination) == []
        assert destination.put("shop/a", io.BytesIO(b"next")).size == 4

    def test_what_a_killed_worker_left_is_swept_and_others_go_on(self, sftp):
        destination = made(sftp.options())
        root = Path(destination.inner._root)
        for folder in ("shop/dead/parts", "shop/alive/parts"):
            (root / folder).mkdir(parents=True)
            (root / folder / ".drcenter-unfinished-0123456789abcdef").touch()
        assert {one.key.rpartition("/")[0] for one in destination.unfinished("shop/dead/")} == {
            "shop/dead/parts"
        }
        destination.abort()
        assert len(leftovers(destination)) == 2
        assert [one.key.rpartition("/")[0] for one in destination.unfinished("shop/dead/")] == [
            "shop/dead/parts"
        ]
        destination.abort("shop/dead/")
        (left,) = leftovers(destination)
        assert left.parent == root / "shop/alive/parts" and not (root / "shop/dead").exists()

    def test_a_file_that_is_replaced_while_it_is_read(self, own_server):
        destination = made(own_server.options())
        destination.put("a", Generated(9 * MIB))
        with destination.open("a") as back:
            back.read(10)
            own_server.stop()
            own_server.start()
            destination.put("a", io.BytesIO(b"another"))
            error = failure(back.read)
        assert "replaced" in error.message and error.permanent

    def test_nobody_listens(self, sftp):
        from tests.backups.destinations.s3_server import free_port

        error = failure(lambda: check(Plugin(sftp.options(port=free_port()))))
        assert "cannot be reached: Connection refused" in error.message and not error.permanent
        error = failure(lambda: check(Plugin(sftp.options(host="store.invalid"))))
        assert "cannot be resolved" in error.message

    def test_a_server_that_says_nothing(self, sftp, monkeypatch):
        monkeypatch.setattr(_sftp_connect, "CONNECT_SECONDS", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            error = failure(lambda: check(Plugin(sftp.options(port=silent.getsockname()[1]))))
        assert "does not answer as SSH" in error.message

    def test_connections_end_with_the_destination(self, own_server):
        destination = made(own_server.options())
        check(destination)
        assert sftp_server._below(own_server.children[-1].pid)
        del destination
        for _time in range(200):
            if not (left := sftp_server._below(own_server.children[-1].pid)):
                break
            threading.Event().wait(0.02)
        assert left == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that fills up")
def test_a_full_disk(sftp):
    """A file system of 3 MiB, mounted in the server's own name space would need a server of its own: here for all."""
    folder = Path(tempfile.mkdtemp(dir=sftp.folder))
    mounted = run(Command(("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder))), check=False)
    if mounted.code != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        destination = made(sftp.options(path=str(folder / "sets")))
        destination.put("good", io.BytesIO(b"good"))
        error = failure(lambda: destination.put("shop/a", Generated(8 * MIB)))
        assert "disk is full" in error.message and error.permanent
        assert files_in(destination) == ["good"] and leftovers(destination) == []
        run(Command(("mount", "-o", "remount,size=20m", str(folder))))
        assert destination.put("shop/a", Generated(8 * MIB)).size == 8 * MIB
    finally:
        run(Command(("umount", "-l", str(folder))))


def test_a_directory_that_one_may_not_write_to(sftp):
    """As any user: a server that was told to make nothing stands for a directory without the right to write."""
    options = sftp.options()
    made(options)
    if os.geteuid() == 0:
        with sftp_server.running(arguments="-R") as read_only:
            error = failure(
                lambda: build("sftp", read_only.options(path=options["path"])).put("a", io.BytesIO(b"x"))
            )
    else:
        Path(options["path"]).chmod(0o555)
        error = failure(lambda: build("sftp", options).put("a", io.BytesIO(b"x")))
    assert "permission denied" in error.message and error.permanent and NOBODY


def test_a_disk_that_is_not_mounted_on_the_server(sftp):
    options = sftp.options()
    destination = made(options)
    destination.put("a", io.BytesIO(b"x"))
    shutil.move(options["path"], f"{options['path']}-elsewhere")
    Path(options["path"]).mkdir()
    for act in (lambda: destination.put("b", io.BytesIO(b"x")), lambda: [*destination.list("")],
                destination.space, lambda: destination.head("a")):  # fmt: skip
        assert "is not the directory that was prepared" in failure(act).message
    assert [*Path(options["path"]).iterdir()] == []


def test_what_comes_back_otherwise_is_not_published(sftp, monkeypatch):
    """A disk that keeps other bytes than it was given: the file is changed behind the server's back."""
    destination = made(sftp.options())
    compared = Plugin._compared

    def damaged(self, temporary, upload, what):
        with Path(temporary).open("r+b") as file:
            file.write(b"!")
        return compared(self, temporary, upload, what)

    monkeypatch.setattr(Plugin, "_compared", damaged)
    error = failure(lambda: destination.put("a", io.BytesIO(b"content")))
    assert "does not come back as it was sent" in error.message
    assert files_in(destination) == [] and leftovers(destination) == []


def test_links_and_foreign_names_are_neither_followed_nor_listed(sftp, tmp_path):
    destination = made(sftp.options())
    destination.put("shop/a", io.BytesIO(b"x"))
    root = Path(destination.inner._root)
    (tmp_path / "outside").write_text("secret")
    (root / "link").symlink_to(tmp_path)
    (root / "shop/link").symlink_to(tmp_path / "outside")
    (root / "shop/new\nline").touch()
    Path(os.fsdecode(bytes(root / "shop") + b"/not-utf8-\xff")).touch()
    assert [one.key for one in destination.list("")] == ["shop/a"]
    assert "no directory" in failure(lambda: destination.put("link/b", io.BytesIO(b"x"))).message
    assert not (tmp_path / "b").exists()
    for key in ("shop/link", "link/outside/x"):
        with pytest.raises(OperationFailed, match="is not there"):
            destination.head(key)


def test_a_stream_that_dies_over_sftp_leaves_no_directory(sftp):
    destination = made(sftp.options())
    with pytest.raises(RuntimeError):
        destination.put("shop/set/parts/a", Broken(9 * MIB, RuntimeError("dump died")))
    assert [path.name for path in Path(destination.inner._root).iterdir()] == [".drcenter-destination"]


class TestPackets:
    def test_attributes(self):
        fields = number(0x8000000D) + long(7) + number(0o100600) + number(1) + number(2) + number(1)
        packet = Packet(fields + packed(b"name@host") + packed(b"value") + b"!")
        assert packet.attributes() == Attributes(7, 0o100600, 2) and packet.take(1) == b"!"

    def test_what_is_cut_off(self):
        for fields in (b"\0", number(10) + b"short", number(1)):
            with pytest.raises(Gone):
                Packet(fields).text() if len(fields) != 4 else Packet(fields).attributes()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"path": "../x"}, "path"),
        ({"path": "/"}, "path"),
        ({"host": "-oProxyCommand=x"}, "host"),
        ({"host_key": ["AAAAC3"]}, "neither a host key nor a fingerprint"),
        ({"private_key": "", "password": ""}, "private key or a password"),
        ({"private_key": "the key itself"}, "env:NAME"),
        ({"port": 0}, "port"),
    ],
)
def test_options_that_cannot_work_are_refused(changes, text):
    options = {"host": "nas", "port": 22, "user": "backup", "path": "sets", "private_key": "env:KEY"}
    with pytest.raises(OperationFailed, match=text):
        validated(SftpOptions, options | changes)


MEASURE = """
import json, sys, django
from django.conf import settings
settings.configure()
django.setup()
from backups.destinations import build
from tests.backups.destinations.streams import Generated
destination = build("sftp", json.loads(sys.argv[1]))
destination.prepare()
destination.put("a", Generated(int(sys.argv[2])))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(options, size):
    """The most memory, in MiB, that a process needed to put `size` bytes and to read them back."""
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    argv = (sys.executable, "-c", MEASURE, json.dumps(options), str(size))
    return int(run(Command(argv, env=environment), timeout=120).stdout) // 1024


def test_memory_does_not_grow_with_the_data(sftp):
    small, large = peak(sftp.options(), 32 * MIB), peak(sftp.options(), 160 * MIB)
    assert large < 110
    assert large - small < 10
